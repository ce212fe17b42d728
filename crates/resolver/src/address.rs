//! Which network addresses may be connected to.
//!
//! Only public unicast addresses are allowed, and networks that the operator names. All others are refused:
//! the special-purpose registries (RFC 6890 and its updates), and IPv6 addresses that embed an IPv4 address,
//! which could be used to get around the IPv4 rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{Code, ResolveError};

/// The kind of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// Public unicast. The only kind that needs no permission.
    Public,
    /// The unspecified address, or this network.
    Unspecified,
    /// This machine.
    Loopback,
    /// RFC 1918.
    Private,
    /// Link-local. Cloud metadata services have such addresses.
    LinkLocal,
    /// Unique local (RFC 4193), and the older site-local range.
    UniqueLocal,
    /// Carrier-grade NAT, RFC 6598.
    CarrierNat,
    /// Multicast, and broadcast.
    Multicast,
    /// For examples in documents.
    Documentation,
    /// An IPv6 address that embeds an IPv4 address: mapped, compatible, NAT64, 6to4, Teredo.
    Transition,
    /// For protocols and benchmarks, or not assigned.
    Reserved,
}

use AddressKind::{
    CarrierNat, Documentation, LinkLocal, Loopback, Multicast, Private, Public, Reserved,
    Transition, UniqueLocal, Unspecified,
};

/// First match wins.
const V4: [([u8; 4], u32, AddressKind); 18] = [
    ([0, 0, 0, 0], 8, Unspecified),
    ([10, 0, 0, 0], 8, Private),
    ([100, 64, 0, 0], 10, CarrierNat),
    ([127, 0, 0, 0], 8, Loopback),
    ([169, 254, 0, 0], 16, LinkLocal),
    ([172, 16, 0, 0], 12, Private),
    ([192, 0, 0, 0], 24, Reserved),
    ([192, 0, 2, 0], 24, Documentation),
    ([192, 31, 196, 0], 24, Reserved),
    ([192, 52, 193, 0], 24, Reserved),
    ([192, 88, 99, 0], 24, Transition),
    ([192, 168, 0, 0], 16, Private),
    ([192, 175, 48, 0], 24, Reserved),
    ([198, 18, 0, 0], 15, Reserved),
    ([198, 51, 100, 0], 24, Documentation),
    ([203, 0, 113, 0], 24, Documentation),
    ([224, 0, 0, 0], 4, Multicast),
    ([240, 0, 0, 0], 4, Reserved),
];

/// First match wins. Other addresses are public only inside 2000::/3.
const V6: [([u16; 8], u32, AddressKind); 15] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Loopback),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Transition),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Transition),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Transition),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Transition),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Transition),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Transition),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Reserved),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Documentation),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Transition),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Documentation),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, UniqueLocal),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, UniqueLocal),
];

/// The kind of an address.
pub fn classify(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => V4
            .iter()
            .find(|(network, prefix, _)| {
                let network = IpAddr::V4(Ipv4Addr::from(*network));
                Cidr {
                    network,
                    prefix: *prefix,
                }
                .contains(IpAddr::V4(address))
            })
            .map_or(Public, |(_, _, kind)| *kind),
        IpAddr::V6(address) => V6
            .iter()
            .find(|(network, prefix, _)| {
                let network = IpAddr::V6(Ipv6Addr::from(*network));
                Cidr {
                    network,
                    prefix: *prefix,
                }
                .contains(IpAddr::V6(address))
            })
            .map_or_else(|| outside_the_table(address), |(_, _, kind)| *kind),
    }
}

fn outside_the_table(address: Ipv6Addr) -> AddressKind {
    match address.segments()[0] {
        0x2000..=0x3fff => Public,
        0xff00.. => Multicast,
        _ => Reserved,
    }
}

/// A network that the operator allows, such as `10.20.0.0/16`, or one address. An IPv4 network does not
/// include IPv6 addresses that embed its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u32,
}

impl Cidr {
    /// Whether an address lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = ResolveError;

    /// Reads `address` or `address/prefix`; bits after the prefix are ignored.
    fn from_str(text: &str) -> Result<Self, ResolveError> {
        let error = || {
            ResolveError::new(
                Code::AddressBlocked,
                "not a network: write an address or a CIDR, for example 10.20.0.0/16",
            )
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| error())?;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| error())?
            }
            Some(_) => return Err(error()),
        };
        if prefix > bits {
            return Err(error());
        }
        Ok(Self { network, prefix })
    }
}

/// Checks all addresses of a host. If one is refused, the host is refused; otherwise the order of a DNS
/// answer would decide.
pub(crate) fn check_addresses(
    host: &str,
    addresses: impl IntoIterator<Item = IpAddr>,
    allowed: &[Cidr],
) -> Result<(), ResolveError> {
    for address in addresses {
        let kind = classify(address);
        if kind != Public && !allowed.iter().any(|network| network.contains(address)) {
            let detail = format!(
                "{address} is {}: only public addresses are allowed, and networks that the operator allows",
                kind.describe()
            );
            return Err(ResolveError::new(Code::AddressBlocked, detail).at_host(host));
        }
    }
    Ok(())
}

impl AddressKind {
    fn describe(self) -> &'static str {
        match self {
            Public => "a public address",
            Unspecified => "an unspecified address",
            Loopback => "a loopback address",
            Private => "a private address",
            LinkLocal => "a link-local address",
            UniqueLocal => "a unique-local address",
            CarrierNat => "a carrier NAT address",
            Multicast => "a multicast address",
            Documentation => "an address for documentation",
            Transition => "an IPv6 address that embeds an IPv4 address",
            Reserved => "a reserved address",
        }
    }
}
