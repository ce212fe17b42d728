use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn gate(connections: usize, per_client: usize) -> Arc<Gate> {
    let limits = Limits::new(1, 1, &[address(200)]);
    Gate::new(Limits {
        connections,
        per_client,
        ..limits
    })
}

/// Comes in, when there is room.
fn enter(gate: &Arc<Gate>, from: u8, at: Instant) -> Option<Held> {
    match gate.admit(address(from), at) {
        Admission::In(held) => Some(held),
        Admission::Soon | Admission::Full => None,
    }
}

#[track_caller]
fn soon(gate: &Arc<Gate>, from: u8, at: Instant) {
    let admission = gate.admit(address(from), at);
    assert!(matches!(admission, Admission::Soon));
}

/// Takes out who has to leave.
fn leaving(held: &mut Vec<Held>) -> usize {
    let mut found = (0..held.len()).filter(|at| held[*at].seat.is_leaving());
    let (first, more) = (found.next().expect("one"), found.next());
    assert_eq!(more, None, "one at a time");
    drop(held.remove(first));
    first
}

#[test]
fn at_its_own_bound_a_client_loses_what_waits_longest() {
    let (gate, start) = (gate(10, 3), Instant::now());
    let at = |seconds: u32| start + seconds * SECOND;
    let mut held: Vec<Held> = (0..3)
        .map(|n| enter(&gate, 1, at(n)).expect("room"))
        .collect();
    let other = enter(&gate, 2, at(0)).expect("room");
    // The oldest is being worked on; the one after it has had an answer just now.
    assert!(held[0].seat.begins(at(4)) && held[1].seat.begins(at(4)));
    held[1].seat.answered(at(5));
    soon(&gate, 1, at(6));
    soon(&gate, 1, at(6));
    assert_eq!(leaving(&mut held), 2);
    held.push(enter(&gate, 1, at(6)).expect("its place"));
    soon(&gate, 1, at(7));
    assert_eq!(leaving(&mut held), 1);
    held.push(enter(&gate, 1, at(7)).expect("its place"));
    assert!(!other.seat.is_leaving(), "others are not asked");
    // Not even those who have as many, and for longer.
    let mut others = vec![other];
    others.extend((0..2).map(|_| enter(&gate, 2, at(0)).expect("room")));
    soon(&gate, 1, at(8));
    leaving(&mut held);
    assert!(others.iter().all(|other| !other.seat.is_leaving()));
}

#[test]
fn what_is_worked_on_stays_and_its_client_is_refused() {
    let (gate, start) = (gate(10, 2), Instant::now());
    let held: Vec<Held> = (0..2)
        .map(|_| enter(&gate, 1, start).expect("room"))
        .collect();
    assert!(held.iter().all(|held| held.seat.begins(start)));
    assert!(matches!(gate.admit(address(1), start), Admission::Full));
    assert!(enter(&gate, 2, start).is_some());
    held[0].seat.waits_for_body();
    soon(&gate, 1, start);
    assert!(held[0].seat.is_leaving());
}

#[test]
fn when_all_is_full_whoever_has_most_makes_room() {
    let (gate, start) = (gate(6, 4), Instant::now());
    let at = |seconds: u32| start + seconds * SECOND;
    let single = enter(&gate, 1, at(0)).expect("room");
    let proxy = enter(&gate, 200, at(0)).expect("room");
    let mut flood: Vec<Held> = (0..4)
        .map(|n| enter(&gate, 9, at(n + 1)).expect("room"))
        .collect();
    soon(&gate, 3, at(9));
    assert_eq!(leaving(&mut flood), 0);
    let newcomer = enter(&gate, 3, at(9)).expect("its place");
    assert!(!single.seat.is_leaving() && !proxy.seat.is_leaving());
    // From as many addresses as there are connections, the one that waits longest.
    drop(flood);
    let held: Vec<Held> = (10..13)
        .map(|n| enter(&gate, n, at(9)).expect("room"))
        .collect();
    soon(&gate, 4, at(9));
    assert!(single.seat.is_leaving() && !proxy.seat.is_leaving() && !newcomer.seat.is_leaving());
    drop((held, single));
    assert!(enter(&gate, 4, at(9)).is_some());
}

#[test]
fn a_proxy_has_no_bound_of_its_own_but_that_of_all() {
    let (gate, start) = (gate(5, 2), Instant::now());
    let mut held: Vec<Held> = (0..5)
        .map(|_| enter(&gate, 200, start).expect("room"))
        .collect();
    soon(&gate, 200, start);
    leaving(&mut held);
    assert!(enter(&gate, 200, start).is_some());
}

#[test]
fn what_waited_too_long_is_swept() {
    let (gate, start) = (gate(5, 2), Instant::now());
    let held = [1, 2].map(|from| enter(&gate, from, start).expect("room"));
    assert!(held[1].seat.begins(start));
    gate.sweep(start + gate.limits.times.head);
    assert!(held[0].seat.is_leaving() && !held[1].seat.is_leaving());
}
