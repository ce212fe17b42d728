//! Rules of sign-ins.

use super::Stop;
use crate::command::{SignInClose, SignInOpen, Verified};
use crate::event::{DenialReason, Event, SignInClosed, SignInOpened};
use crate::ids::{Identity, MemberId, Millis};
use crate::limits;
use crate::rejection::{Code, Rejection};
use crate::state::State;

const AGAIN: &str = "sign in again with `keyroll login`";

fn rejected<T>(code: Code, message: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(code, message))
}

/// Opens a sign-in. Whether the proof is by the member was decided with its permission.
pub(super) fn open(
    state: &State,
    command: &Verified,
    open: &SignInOpen,
    now: Millis,
) -> Result<Vec<Event>, Rejection> {
    let member = command.actor();
    check_times(open, now)?;
    let joined = state.member(&member).map(|member| member.joined);
    if joined.is_none_or(|joined| open.from < joined) {
        // The member may have closed it everywhere before.
        let message = format!(
            "this sign-in is older than your membership in {}: {AGAIN}",
            state.workspace()
        );
        return rejected(Code::Denied, message);
    }
    if let Some(known) = remembered(state, &member, &open.key, now) {
        let was = if known.closed.is_some() {
            "closed"
        } else {
            "opened"
        };
        let message =
            format!("a sign-in with this key was {was} here before, and a key is opened once");
        return rejected(Code::Conflict, message);
    }
    check_rate(state, &member, now)?;
    check_remembered(state, member, now)?;
    let mut events = Vec::new();
    let open_now = state
        .sign_ins_of(member)
        .filter(|(_, known)| known.is_open(now));
    let mut open_now: Vec<(Option<Millis>, Identity)> =
        open_now.map(|(key, known)| (known.opened, key)).collect();
    open_now.sort_unstable();
    if let Some((_, oldest)) = open_now.first()
        && open_now.len() >= limits::OPEN_SIGN_INS
    {
        events.push(Event::SignInClosed(SignInClosed { key: Some(*oldest) }));
    }
    let until = open.until;
    events.push(Event::SignInOpened(SignInOpened { until, member }));
    Ok(events)
}

fn check_times(open: &SignInOpen, now: Millis) -> Result<(), Rejection> {
    let SignInOpen { from, until, .. } = open;
    if until.0.saturating_sub(from.0) > limits::SIGN_IN_MS || until <= from {
        let hours = limits::SIGN_IN_MS / 3_600_000;
        let message = format!("a sign-in ends after it begins, and lasts at most {hours} h");
        return rejected(Code::InvalidField, message);
    }
    if from.0 > now.0.saturating_add(limits::FRESH_MS) {
        let message = "the sign-in begins in the future: check the clocks";
        return rejected(Code::InvalidField, message);
    }
    if *until < now {
        return rejected(
            Code::InvalidField,
            format!("the sign-in has ended: {AGAIN}"),
        );
    }
    Ok(())
}

/// Closes a sign-in. A key that is not open here never opens here then.
pub(super) fn close(
    state: &State,
    command: &Verified,
    close: &SignInClose,
    now: Millis,
) -> Result<Vec<Event>, Stop> {
    let actor = command.actor();
    let member = close.member.unwrap_or(actor);
    match remembered(state, &member, &close.key, now) {
        Some(known) if known.closed.is_some() => {
            return Err(Rejection::new(Code::Conflict, "this sign-in was closed before").into());
        }
        Some(_) => {}
        // A stolen sign-in must not fill the memory with keys that nobody uses.
        None if !command.acts_for_itself() => return Err(Stop::Denied(DenialReason::OwnKey)),
        None => {
            if state.member(&member).is_none() {
                let message = format!("{member} is not a member");
                return Err(Rejection::new(Code::NotFound, message).into());
            }
            check_remembered(state, member, now)?;
        }
    }
    check_rate(state, &actor, now)?;
    Ok(vec![Event::SignInClosed(SignInClosed::default())])
}

/// A sign-in of a member that has not ended by itself.
fn remembered<'a>(
    state: &'a State,
    member: &MemberId,
    key: &Identity,
    now: Millis,
) -> Option<&'a crate::state::SignIn> {
    let known = state.sign_in(member, key);
    known.filter(|known| !known.has_ended(now))
}

fn check_rate(state: &State, actor: &MemberId, now: Millis) -> Result<(), Rejection> {
    if state.may_sign_in(actor, now) {
        return Ok(());
    }
    let most = limits::SIGN_INS_PER_MINUTE;
    let message = format!(
        "{most} sign-ins of a member are opened or closed in a minute: try again in the next"
    );
    rejected(Code::Busy, message)
}

fn check_remembered(state: &State, member: MemberId, now: Millis) -> Result<(), Rejection> {
    let known = state
        .sign_ins_of(member)
        .filter(|(_, known)| !known.has_ended(now));
    if known.count() < limits::REMEMBERED_SIGN_INS {
        return Ok(());
    }
    let message = format!(
        "{} sign-in keys of this member are remembered, and no more until one of them ends: use the member's own key",
        limits::REMEMBERED_SIGN_INS
    );
    rejected(Code::TooLarge, message)
}
