//! A browser's half of a console's session: plain HTTP on loopback and one cookie.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// An answer.
#[derive(Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The target of a redirect.
    pub location: Option<String>,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
    /// The time from the request's first byte to the answer's last.
    pub took: Duration,
}

impl Page {
    /// A header, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (of, value) = line.split_once(": ")?;
            (of == name).then_some(value)
        })
    }
}

/// A window on a console.
pub struct Browse {
    host: String,
    cookie: Option<String>,
}

impl Browse {
    /// A window on the console at an origin, not signed in.
    ///
    /// # Panics
    /// When it is not plain HTTP.
    pub fn new(origin: &str) -> Self {
        let host = origin.strip_prefix("http://").expect("plain HTTP");
        Self {
            host: host.to_owned(),
            cookie: None,
        }
    }

    /// Opens a one-time link.
    ///
    /// # Panics
    /// When it is not accepted.
    pub fn open(link: &str) -> Self {
        let (origin, token) = link.split_once("/enter?token=").expect("a one-time link");
        let mut window = Self::new(origin);
        let page = window.post("/enter", &[("token", token)]);
        assert_eq!(page.status, 303, "{}", page.body);
        assert!(window.cookie.is_some(), "no cookie: {}", page.head);
        window
    }

    /// Gets a page.
    pub fn get(&mut self, path: &str) -> Page {
        self.get_as(path, &self.host.clone())
    }

    /// Gets a page under another host name.
    pub fn get_as(&mut self, path: &str, host: &str) -> Page {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n"), "")
    }

    /// Gets a page with one more header, as a browser that followed a link.
    pub fn get_with(&mut self, path: &str, header: &str) -> Page {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{header}\r\n", self.host);
        self.send(&head, "")
    }

    /// Posts JSON instead of a form.
    pub fn post_json(&mut self, path: &str, body: &serde_json::Value) -> Page {
        let (host, body) = (&self.host, body.to_string());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.send(&head, &body)
    }

    /// The cookie of the session.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Sends a form.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let (host, body) = (&self.host, fields.join("&"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.send(&head, &body)
    }

    fn send(&mut self, head: &str, body: &str) -> Page {
        let mut stream = TcpStream::connect(&self.host).expect("connected");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("set");
        let cookie = self.cookie.as_ref();
        let cookie = cookie.map_or_else(String::new, |cookie| format!("cookie: {cookie}\r\n"));
        let request = format!("{head}{cookie}connection: close\r\n\r\n{body}");
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let took = begun.elapsed();
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let set = head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        if let Some((cookie, _)) = set.and_then(|set| set.split_once(';')) {
            self.cookie = Some(cookie.to_owned());
        }
        Page {
            status: head[9..12].parse().expect("a status"),
            location: head
                .lines()
                .find_map(|line| line.strip_prefix("location: "))
                .map(str::to_owned),
            head: head.to_lowercase(),
            body: body.to_owned(),
            took,
        }
    }
}

fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}
