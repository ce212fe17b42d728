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

/// Admits a connection where there is room.
fn admit(gate: &Arc<Gate>, from: u8, at: Instant) -> Option<Slot> {
    match gate.admit(address(from), at) {
        Admission::Admitted(slot) => Some(slot),
        Admission::Retry | Admission::Full => None,
    }
}

#[track_caller]
fn retry(gate: &Arc<Gate>, from: u8, at: Instant) {
    let admission = gate.admit(address(from), at);
    assert!(matches!(admission, Admission::Retry));
}

/// Removes the slot of the closing connection.
fn remove_closing(slots: &mut Vec<Slot>) -> usize {
    let mut found = (0..slots.len()).filter(|at| slots[*at].state.is_closing());
    let (first, more) = (found.next().expect("one"), found.next());
    assert_eq!(more, None, "one at a time");
    drop(slots.remove(first));
    first
}

#[test]
fn at_its_own_bound_a_client_loses_its_longest_waiting_connection() {
    let (gate, start) = (gate(10, 3), Instant::now());
    let at = |seconds: u32| start + seconds * SECOND;
    let mut slots: Vec<Slot> = (0..3)
        .map(|n| admit(&gate, 1, at(n)).expect("room"))
        .collect();
    let other = admit(&gate, 2, at(0)).expect("room");
    // The oldest is being worked on; the one after it has had an answer just now.
    assert!(slots[0].state.begin_request(at(4)) && slots[1].state.begin_request(at(4)));
    slots[1].state.responded(at(5));
    retry(&gate, 1, at(6));
    retry(&gate, 1, at(6));
    assert_eq!(remove_closing(&mut slots), 2);
    slots.push(admit(&gate, 1, at(6)).expect("its slot"));
    retry(&gate, 1, at(7));
    assert_eq!(remove_closing(&mut slots), 1);
    slots.push(admit(&gate, 1, at(7)).expect("its slot"));
    assert!(!other.state.is_closing(), "other clients keep theirs");
    // Not even clients that have as many, for longer.
    let mut others = vec![other];
    others.extend((0..2).map(|_| admit(&gate, 2, at(0)).expect("room")));
    retry(&gate, 1, at(8));
    remove_closing(&mut slots);
    assert!(others.iter().all(|other| !other.state.is_closing()));
}

#[test]
fn connections_in_work_stay_and_their_client_is_refused() {
    let (gate, start) = (gate(10, 2), Instant::now());
    let slots: Vec<Slot> = (0..2)
        .map(|_| admit(&gate, 1, start).expect("room"))
        .collect();
    assert!(slots.iter().all(|slot| slot.state.begin_request(start)));
    assert!(matches!(gate.admit(address(1), start), Admission::Full));
    assert!(admit(&gate, 2, start).is_some());
    slots[0].state.waits_for_body();
    retry(&gate, 1, start);
    assert!(slots[0].state.is_closing());
}

#[test]
fn at_the_bound_for_all_the_client_with_most_loses_one() {
    let (gate, start) = (gate(6, 4), Instant::now());
    let at = |seconds: u32| start + seconds * SECOND;
    let single = admit(&gate, 1, at(0)).expect("room");
    let proxy = admit(&gate, 200, at(0)).expect("room");
    let mut flood: Vec<Slot> = (0..4)
        .map(|n| admit(&gate, 9, at(n + 1)).expect("room"))
        .collect();
    retry(&gate, 3, at(9));
    assert_eq!(remove_closing(&mut flood), 0);
    let newcomer = admit(&gate, 3, at(9)).expect("its slot");
    assert!(!single.state.is_closing() && !proxy.state.is_closing());
    // From as many addresses as there are connections, the one that waits longest.
    drop(flood);
    let slots: Vec<Slot> = (10..13)
        .map(|n| admit(&gate, n, at(9)).expect("room"))
        .collect();
    retry(&gate, 4, at(9));
    assert!(single.state.is_closing() && !proxy.state.is_closing() && !newcomer.state.is_closing());
    drop((slots, single));
    assert!(admit(&gate, 4, at(9)).is_some());
}

#[test]
fn a_proxy_is_bound_only_by_the_bound_for_all() {
    let (gate, start) = (gate(5, 2), Instant::now());
    let mut slots: Vec<Slot> = (0..5)
        .map(|_| admit(&gate, 200, start).expect("room"))
        .collect();
    retry(&gate, 200, start);
    remove_closing(&mut slots);
    assert!(admit(&gate, 200, start).is_some());
}

#[test]
fn overdue_connections_are_closed() {
    let (gate, start) = (gate(5, 2), Instant::now());
    let slots = [1, 2].map(|from| admit(&gate, from, start).expect("room"));
    assert!(slots[1].state.begin_request(start));
    gate.sweep(start + gate.limits.timeouts.head);
    assert!(slots[0].state.is_closing() && !slots[1].state.is_closing());
}
