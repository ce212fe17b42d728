//! The wires between the servers of a cluster, which can be broken.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// The state of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Data passes.
    Whole,
    /// Data is held back without an error, and arrives when the wire is whole again.
    Silent,
    /// Connections are closed, and new ones are refused.
    Cut,
}

/// One wire, shared by its connections.
struct Shared {
    is: Mutex<Wire>,
    changed: Condvar,
}

impl Shared {
    fn is(&self) -> Wire {
        *self.is.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it is silent, and returns whether it is whole.
    fn pass(&self) -> bool {
        let is = self.is.lock().unwrap_or_else(PoisonError::into_inner);
        let is = self.changed.wait_while(is, |is| *is == Wire::Silent);
        *is.unwrap_or_else(PoisonError::into_inner) == Wire::Whole
    }

    fn make(&self, wire: Wire) {
        *self.is.lock().unwrap_or_else(PoisonError::into_inner) = wire;
        self.changed.notify_all();
    }

    /// Waits until it is cut.
    fn cut(&self) {
        let is = self.is.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(is, |is| *is != Wire::Cut));
    }
}

/// One direction: the address to connect to, and the wire behind it.
struct Way {
    from: usize,
    to: usize,
    door: SocketAddr,
    wire: Arc<Shared>,
}

/// A wire of its own for each server and each other one that it connects to.
pub struct Wires(Vec<Way>);

impl Wires {
    /// Wires to servers that will listen at `ends`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn between(ends: &[SocketAddr]) -> Self {
        let mut ways = Vec::new();
        for from in 0..ends.len() {
            for (to, end) in ends.iter().enumerate().filter(|(to, _)| *to != from) {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
                let door = listener.local_addr().expect("an address");
                let wire = Arc::new(Shared {
                    is: Mutex::new(Wire::Whole),
                    changed: Condvar::new(),
                });
                let (end, carried) = (*end, Arc::clone(&wire));
                // It runs until the tests end: nothing else wakes it.
                thread::spawn(move || {
                    for near in listener.incoming().flatten() {
                        carry(near, end, &carried);
                    }
                });
                ways.push(Way {
                    from,
                    to,
                    door,
                    wire,
                });
            }
        }
        Self(ways)
    }

    /// The addresses at which `from` reaches the other servers.
    pub fn of(&self, from: usize) -> Vec<SocketAddr> {
        let of = self.0.iter().filter(|way| way.from == from);
        of.map(|way| way.door).collect()
    }

    /// Sets the state of all wires from and to one server.
    pub fn make(&self, server: usize, wire: Wire) {
        for way in &self.0 {
            if way.from == server || way.to == server {
                way.wire.make(wire);
            }
        }
    }
}

/// Copies one connection in both directions until it ends.
fn carry(near: TcpStream, end: SocketAddr, wire: &Arc<Shared>) {
    if wire.is() == Wire::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(end) else {
        return;
    };
    let copy = |stream: &TcpStream| stream.try_clone().expect("another handle");
    for (mut from, mut to) in [(copy(&near), copy(&far)), (copy(&far), copy(&near))] {
        let wire = Arc::clone(wire);
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(count) = from.read(&mut bytes) {
                if count == 0 || !wire.pass() || to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            // The other thread may have closed it already.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    let wire = Arc::clone(wire);
    thread::spawn(move || {
        wire.cut();
        let _ = near.shutdown(Shutdown::Both);
        let _ = far.shutdown(Shutdown::Both);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection from server 0 to server 1 as both ends have it.
    fn connected(wires: &Wires, end: &TcpListener) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(wires.of(0)[0]).expect("connected");
        (near, end.accept().expect("a connection").0)
    }

    #[test]
    fn what_is_sent_over_a_silent_wire_comes_later_and_a_cut_one_ends() {
        let ends = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let wires = Wires::between(&[0, 1].map(|at: usize| ends[at].local_addr().expect("it")));
        let (mut near, mut far) = connected(&wires, &ends[1]);
        near.write_all(b"a").expect("sent");
        let mut got = [0];
        far.read_exact(&mut got).expect("it arrives");

        wires.make(1, Wire::Silent);
        near.write_all(b"b").expect("sent");
        far.set_nonblocking(true).expect("set");
        thread::sleep(std::time::Duration::from_millis(50));
        let nothing = far.read(&mut got).expect_err("nothing");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
        far.set_nonblocking(false).expect("set");
        wires.make(1, Wire::Whole);
        far.read_exact(&mut got).expect("it arrives");
        assert_eq!(&got, b"b");

        wires.make(0, Wire::Cut);
        assert_eq!(near.read(&mut got).expect("the end"), 0);
        let mut again = TcpStream::connect(wires.of(0)[0]).expect("its door is there");
        assert_eq!(again.read(&mut got).unwrap_or(0), 0);
        wires.make(0, Wire::Whole);
        let (mut near, mut far) = connected(&wires, &ends[1]);
        near.write_all(b"c").expect("sent");
        far.read_exact(&mut got).expect("it arrives");
    }
}
