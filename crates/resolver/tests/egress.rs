//! Host patterns and addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use keyroll_resolver::{
    AddressKind, BlockFile, Cidr, HostPattern, Options, check_hosts, classify, plan,
};
use proptest::prelude::*;
use url::Url;

fn allows(pattern: &str, url: &str) -> bool {
    let bindings = BTreeMap::from([("K".to_owned(), vec![pattern.to_owned()])]);
    match check_hosts(&Url::parse(url).unwrap(), &bindings) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(
                (error.code(), error.secret()),
                ("host_not_allowed", Some("K"))
            );
            false
        }
    }
}

#[test]
fn patterns_name_hosts() {
    for (pattern, url) in [
        ("api.stripe.com", "https://api.stripe.com/v1"),
        ("API.Stripe.com", "https://api.STRIPE.com:8443/"),
        ("api.stripe.com", "http://api.stripe.com/"),
        ("*.crm.example", "https://eu.crm.example/"),
        ("https://api.stripe.com", "https://api.stripe.com/"),
        ("api.stripe.com:443", "https://api.stripe.com/"),
        ("api.stripe.com:8443", "https://api.stripe.com:8443/"),
        ("http://127.0.0.1:80", "http://127.1/"),
        ("[::1]", "https://[0:0::1]/"),
        ("[::1]:8443", "https://[::1]:8443/"),
        ("bücher.example", "https://xn--bcher-kva.example/"),
    ] {
        assert!(allows(pattern, url), "{pattern} {url}");
    }
    for (pattern, url) in [
        ("api.stripe.com", "https://api.stripe.com.evil.example/"),
        ("api.stripe.com", "https://evil-api.stripe.com/"),
        ("api.stripe.com", "https://stripe.com/"),
        ("api.stripe.com", "https://api.stripe.com./"),
        ("api.stripe.com", "https://api.stripe.com@evil.example/"),
        ("*.crm.example", "https://crm.example/"),
        ("*.crm.example", "https://a.b.crm.example/"),
        ("*.crm.example", "https://.crm.example/"),
        ("https://api.stripe.com", "http://api.stripe.com/"),
        ("api.stripe.com:443", "https://api.stripe.com:444/"),
        ("10.0.0.1", "https://10.0.0.2/"),
        // An invalid pattern allows nothing.
        ("*", "https://api.stripe.com/"),
        ("*.*.com", "https://api.stripe.com/"),
        ("api.*.com", "https://api.stripe.com/"),
        ("*.0.0.1", "https://127.0.0.1/"),
        ("ftp://api.stripe.com", "https://api.stripe.com/"),
        ("api.stripe.com:", "https://api.stripe.com/"),
        ("api.stripe.com:+443", "https://api.stripe.com/"),
        ("api.stripe.com/v1", "https://api.stripe.com/v1"),
        ("", "https://api.stripe.com/"),
    ] {
        assert!(!allows(pattern, url), "{pattern} {url}");
    }
}

#[test]
fn every_secret_must_agree() {
    let url = Url::parse("https://api.stripe.com/").unwrap();
    let bound = |hosts: &[&str]| {
        hosts
            .iter()
            .map(|host| (*host).to_owned())
            .collect::<Vec<_>>()
    };
    let mut bindings = BTreeMap::from([
        ("A".to_owned(), bound(&[])),
        ("B".to_owned(), bound(&["x.example", "api.stripe.com"])),
    ]);
    assert!(check_hosts(&url, &bindings).is_ok());
    bindings.insert("C".to_owned(), bound(&["x.example"]));
    let error = check_hosts(&url, &bindings).unwrap_err();
    assert_eq!(
        (error.secret(), error.host()),
        (Some("C"), Some("api.stripe.com"))
    );
}

#[test]
fn a_pattern_reads_back() {
    for text in [
        "api.stripe.com",
        "https://*.crm.example:8443",
        "http://[::1]:80",
    ] {
        assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
    }
}

#[test]
fn addresses_are_classified() {
    use AddressKind::*;
    for (kind, addresses) in [
        (
            Public,
            "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 223.255.255.255 2606:4700::1111 2001:200::1 2a00::1",
        ),
        (Unspecified, "0.0.0.0 0.1.2.3 ::"),
        (Loopback, "127.0.0.1 127.255.255.255 ::1"),
        (
            Private,
            "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1",
        ),
        (LinkLocal, "169.254.169.254 fe80::1 febf::1"),
        (UniqueLocal, "fc00::1 fd00:ec2::254 fec0::1"),
        (CarrierNat, "100.64.0.0 100.127.255.255"),
        (Multicast, "224.0.0.1 239.255.255.255 ff02::1"),
        (
            Documentation,
            "192.0.2.1 198.51.100.1 203.0.113.255 2001:db8::1 3fff::1",
        ),
        (
            Transition,
            "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::1 2001::1 192.88.99.1",
        ),
        (
            Reserved,
            "192.0.0.1 198.18.0.1 198.19.255.255 240.0.0.1 255.255.255.255 2001:10::1 100::1 4000::1 5f00::1",
        ),
    ] {
        for address in addresses.split(' ') {
            assert_eq!(
                classify(address.parse::<IpAddr>().unwrap()),
                kind,
                "{address}"
            );
        }
    }
}

#[test]
fn networks_are_read_and_matched() {
    let contains = |network: &str, address: &str| {
        network
            .parse::<Cidr>()
            .unwrap()
            .contains(address.parse().unwrap())
    };
    assert!(contains("127.0.0.1/8", "127.9.9.9"));
    assert!(!contains("127.0.0.0/8", "128.0.0.0"));
    assert!(contains("10.1.2.3", "10.1.2.3"));
    assert!(!contains("10.1.2.3", "10.1.2.2"));
    assert!(contains("0.0.0.0/0", "255.255.255.255"));
    assert!(!contains("0.0.0.0/0", "::1"));
    assert!(contains("::/0", "::1"));
    assert!(!contains("127.0.0.0/8", "::ffff:127.0.0.1"));
    assert!(contains("64:ff9b::/96", "64:ff9b::1"));
    for text in [
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "::/129",
        "10.0.0/8",
        "a/8",
    ] {
        assert!(text.parse::<Cidr>().is_err(), "{text}");
    }
}

#[test]
fn a_target_is_checked_before_the_reveal() {
    let check = |url: &str, http: &[&str], networks: &[&str]| {
        let text = format!(
            r#"{{"workflow":"w","blocks":[{{"name":"b","type":"external_api","method":"GET","url":"{url}"}}]}}"#
        );
        let plan = plan(&BlockFile::parse(text.as_bytes()).unwrap(), None).unwrap();
        let options = Options {
            allow_http: http.iter().map(|host| host.parse().unwrap()).collect(),
            allow_address: networks
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
            ..Options::default()
        };
        plan.check_target(&options).map_err(|error| error.code())
    };
    assert_eq!(check("https://api.example/", &[], &[]), Ok(()));
    assert_eq!(
        check("http://api.example/", &[], &[]),
        Err("host_not_allowed")
    );
    assert_eq!(check("http://api.example/", &["api.example"], &[]), Ok(()));
    assert_eq!(
        check("http://api.example/", &["https://api.example"], &[]),
        Err("host_not_allowed")
    );
    assert_eq!(check("https://0x7f.1/", &[], &[]), Err("address_blocked"));
    assert_eq!(check("https://127.0.0.1/", &[], &["127.0.0.0/8"]), Ok(()));
    assert_eq!(
        check("https://[::ffff:127.0.0.1]/", &[], &["127.0.0.0/8"]),
        Err("address_blocked")
    );
}

proptest! {
    #[test]
    fn no_text_makes_them_panic(text in "[*a.:/\\[\\]0-9@ é{-]{0,20}") {
        let _ = text.parse::<HostPattern>();
        let _ = text.parse::<Cidr>();
    }

    #[test]
    fn a_network_contains_what_shares_its_bits(network: u32, address: u32, prefix in 0u32..=32) {
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let cidr: Cidr = format!("{}/{prefix}", std::net::Ipv4Addr::from(network)).parse().unwrap();
        let inside = (network & mask) | (address & !mask);
        prop_assert!(cidr.contains(std::net::Ipv4Addr::from(inside).into()));
        prop_assert_eq!(
            cidr.contains(std::net::Ipv4Addr::from(address).into()),
            network & mask == address & mask
        );
    }
}
