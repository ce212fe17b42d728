//! `keyroll init --print-nats-config`: complete files for nats-servers, and the credentials of their users.
//!
//! They are a pure function of the keys in one file, and of the options. So another run writes the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use keyroll_core::Code;
use keyroll_nats::Creds;
use keyroll_server::nats::{Cluster, Endpoint, OperatorKeys, ServerConfig, TlsFiles};
use serde_json::json;

use super::differences::differences;
use super::{local, unusable};
use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, confirm};
use crate::private_file;

/// The ports of the first server on a host: clients, monitoring, routes.
const PORTS: [u16; 3] = [4222, 8222, 6222];
/// The keys of the operator, the accounts and the users.
const KEYS: &str = "offline/nats-keys.toml";

/// For `--print-nats-config`. What may differ between servers is repeated, once for each server.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --print-nats-config")]
pub(super) struct NatsArgs {
    /// Only write the files of nats-servers and the credentials of their users into --out
    #[arg(long, requires = "out")]
    pub(super) print_nats_config: bool,
    /// Directory for the files; another run with the same options writes the same; required with `--print-nats-config`
    #[arg(long, requires = "print_nats_config", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of nats-servers
    #[arg(
        long,
        default_value_t = 1,
        requires = "print_nats_config",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=5)
    )]
    servers: u16,
    /// Host under which clients and other servers reach a server [default: 127.0.0.1]
    #[arg(long, requires = "print_nats_config", value_name = "HOST")]
    host: Vec<String>,
    /// Name of a nats-server [default: keyroll-1, and so on]
    #[arg(long, requires = "print_nats_config", value_name = "NAME")]
    server_name: Vec<String>,
    /// Directory of the streams [default: /var/lib/nats; with several servers on a host the name below it]
    #[arg(long, requires = "print_nats_config", value_name = "DIR")]
    store_dir: Vec<PathBuf>,
    /// Address for clients; any but loopback needs TLS [default: port 4222]
    #[arg(long, requires = "print_nats_config", value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// Address for monitoring, in plain HTTP, where the service reads how a server syncs; several servers that are
    /// not on loopback need it [default: 127.0.0.1, port 8222]
    #[arg(long, requires = "print_nats_config", value_name = "ADDRESS")]
    monitoring_listen: Vec<SocketAddr>,
    /// Address for the other servers [default: port 6222]
    #[arg(long, requires = "print_nats_config", value_name = "ADDRESS")]
    cluster_listen: Vec<SocketAddr>,
    /// File of the TLS certificate, on each server [default: no TLS]
    #[arg(long, requires_all = ["print_nats_config", "tls_key"], value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// File of the certificate's private key, on each server [default: no TLS]
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// File of the authority of these certificates, on each server [default: the system's]
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

/// Files by their names in the directory.
pub(super) type Files = BTreeMap<String, String>;

pub(super) fn run(context: &Context, args: &NatsArgs) -> Result<(), Failure> {
    let Some(out) = &args.out else {
        return Err(Failure::usage("--print-nats-config needs --out DIR"));
    };
    let servers = servers(args)?;
    let operator_keys = operator_keys(out)?;
    let mut files = server_files(args, &servers, &operator_keys)?;
    let configurations: Vec<String> = files.keys().cloned().collect();
    files.extend(credentials(&operator_keys)?);
    files.insert(KEYS.to_owned(), operator_keys.render().map_err(local)?);
    let differences = differences(out, &files)?;
    if !differences.is_empty() {
        for difference in &differences {
            context.out.note(difference);
        }
        let confirmation = Confirmation {
            question: format!("Replace these files in {}?", out.display()),
            refusal: "nothing was written".to_owned(),
        };
        confirm(context, &confirmation)?;
    }
    for (name, text) in &files {
        let path = out.join(name);
        if read(&path)?.as_ref() != Some(text) {
            private_file::replace(&path, text.as_bytes())?;
        }
    }
    if let Some(exposed) = exposed(&servers) {
        context.out.note(&exposed);
    }
    let url = clients_url(args, &servers);
    let json = json!({
        "out": out.display().to_string(),
        "servers": configurations,
        "nats_url": url,
    });
    let out = out.display();
    let words = format!(
        "wrote {configurations} and the credentials of all NATS users into {out}. Start each nats-server with its \
         file (`nats-server -c FILE`); only nats-server should be able to read it.\n\
         {out}/offline holds the seeds of the NATS operator and of all accounts: whoever has them can make users of \
         any account. Keep that directory offline.\nThen run: keyroll init --nats {url} --credentials {out}",
        configurations = configurations.join(", ")
    );
    context.out.done(&json, &words)
}

/// A server: its name, the host under which it is reached, its directory and addresses.
struct Server {
    name: String,
    host: String,
    store_dir: PathBuf,
    listen: SocketAddr,
    monitoring: SocketAddr,
    routes: SocketAddr,
}

/// The values of an option, one for each server; none, or one for all where that makes sense.
fn each<T: Clone>(given: &[T], servers: usize, option: &str) -> Result<Vec<Option<T>>, Failure> {
    match given.len() {
        0 => Ok(vec![None; servers]),
        n if n == servers => Ok(given.iter().cloned().map(Some).collect()),
        n => Err(Failure::usage(format!(
            "{option} is given {n} times for {servers} servers: give it once for each server"
        ))),
    }
}

fn servers(args: &NatsArgs) -> Result<Vec<Server>, Failure> {
    let count = usize::from(args.servers);
    if count == 2 || count == 4 {
        return Err(Failure::usage(
            "use 1, 3 or 5 servers: an even number tolerates no more failures than the odd one below",
        ));
    }
    let hosts = each(&args.host, count, "--host")?;
    let hosts: Vec<String> = hosts
        .into_iter()
        .map(|host| host.unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string()))
        .collect();
    let names = each(&args.server_name, count, "--server-name")?;
    let stores = each(&args.store_dir, count, "--store-dir")?;
    let listen = each(&args.listen, count, "--listen")?;
    let monitoring = each(&args.monitoring_listen, count, "--monitoring-listen")?;
    let routes = each(&args.cluster_listen, count, "--cluster-listen")?;
    // Services read the pages of every server. Whether the network between them is private is not known here.
    let are_apart = count > 1 && !hosts.iter().all(|host| is_loopback(host));
    if are_apart && args.monitoring_listen.is_empty() {
        return Err(Failure::usage(
            "services read the monitoring pages of every server, over plain HTTP. These show the names of users, \
             addresses, and subjects with the names of workspaces. For each server, add --monitoring-listen ADDRESS \
             with an address that only the services reach",
        ));
    }
    let server = |number: usize| {
        let host = &hosts[number];
        let shares_host = hosts.iter().filter(|other| *other == host).count() > 1;
        let before = hosts[..number].iter().filter(|other| *other == host);
        let before = u16::try_from(before.count()).unwrap_or_default();
        let [clients, pages, others] = PORTS.map(|port| port + before);
        let ip = if is_loopback(host) {
            Ipv4Addr::LOCALHOST
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        let name = names[number]
            .clone()
            .unwrap_or_else(|| format!("keyroll-{}", number + 1));
        let store = Path::new("/var/lib/nats");
        let store = if shares_host {
            store.join(&name)
        } else {
            store.to_owned()
        };
        Server {
            host: host.clone(),
            store_dir: stores[number].clone().unwrap_or(store),
            listen: listen[number].unwrap_or_else(|| (ip, clients).into()),
            monitoring: monitoring[number].unwrap_or_else(|| (Ipv4Addr::LOCALHOST, pages).into()),
            routes: routes[number].unwrap_or_else(|| (ip, others).into()),
            name,
        }
    };
    let servers: Vec<Server> = (0..count).map(server).collect();
    for (number, one) in servers.iter().enumerate() {
        if servers[..number].iter().any(|other| other.name == one.name) {
            let words = format!("two servers are named {}: give each its own name", one.name);
            return Err(Failure::usage(words));
        }
    }
    Ok(servers)
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What has to be said about monitoring pages that other machines may reach.
fn exposed(servers: &[Server]) -> Option<String> {
    let pages = servers.iter().map(|server| server.monitoring);
    let pages: Vec<String> = pages
        .filter(|address| !address.ip().is_loopback())
        .map(|address| address.to_string())
        .collect();
    (!pages.is_empty()).then(|| {
        format!(
            "the monitoring pages at {} are plain HTTP, and show the names of users, addresses, and subjects with \
             the names of workspaces. Let your firewall pass only the services",
            pages.join(", ")
        )
    })
}

fn server_files(
    args: &NatsArgs,
    servers: &[Server],
    operator_keys: &OperatorKeys,
) -> Result<Files, Failure> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            ca: args.tls_ca.clone(),
        }),
        _ => None,
    };
    let trust = operator_keys.trust().map_err(local)?;
    let mut files = Files::new();
    for server in servers {
        let others = servers.iter().filter(|other| other.name != server.name);
        let others = others.map(|other| at(&other.host, other.routes.port()));
        let cluster = (servers.len() > 1).then(|| Cluster {
            listen: server.routes,
            others: others.collect(),
            advertise: Some(at(&server.host, server.routes.port())),
            credential: operator_keys.routes().clone(),
            tls: tls.clone(),
        });
        let config = ServerConfig {
            server_name: server.name.clone(),
            data_dir: server.store_dir.clone(),
            endpoint: Endpoint::Fixed {
                listen: server.listen,
                monitoring: server.monitoring,
                tls: tls.clone(),
            },
            cluster,
            trust: trust.clone(),
        };
        let text = config.render().map_err(unusable)?;
        files.insert(format!("{}.conf", server.name), text);
    }
    Ok(files)
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
fn at(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

fn clients_url(args: &NatsArgs, servers: &[Server]) -> String {
    let scheme = if args.tls_cert.is_some() {
        "tls"
    } else {
        "nats"
    };
    let hosts = servers.iter();
    let hosts: Vec<String> = hosts
        .map(|server| at(&server.host, server.listen.port()))
        .collect();
    format!("{scheme}://{}", hosts.join(","))
}

fn credentials(operator_keys: &OperatorKeys) -> Result<Files, Failure> {
    let users = operator_keys.users().map_err(local)?;
    let mut files = Files::new();
    for creds in [
        &users.service,
        &users.operator,
        &users.responder,
        &users.backup,
        &users.backup_keys,
        &users.purge,
        &users.console,
    ] {
        let file = format!("{}.creds", Creds::name(creds));
        files.insert(file, creds.render().map_err(local)?);
    }
    let seed = operator_keys.clients_seed().map_err(local)?;
    files.insert("clients.nk".to_owned(), format!("{seed}\n"));
    Ok(files)
}

/// The operator of an earlier run, or a new one.
fn operator_keys(out: &Path) -> Result<OperatorKeys, Failure> {
    let path = out.join(KEYS);
    if let Some(text) = read(&path)? {
        return OperatorKeys::parse(&text)
            .map_err(|error| local(error).within(&path.display().to_string()));
    }
    let made = ["service.creds", "clients.nk"];
    if made.iter().any(|name| out.join(name).exists()) {
        let words = format!(
            "{} is missing, but {} has credentials that were made with it. Put it back, or choose another \
             directory: new keys would lock every present user out",
            path.display(),
            out.display()
        );
        return Err(Failure::coded(Code::Conflict, words));
    }
    OperatorKeys::generate().map_err(local)
}

pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(path, &error)),
    }
}
