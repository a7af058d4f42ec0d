//! Whether a guest has halted for good: no vCPU of it can ever do anything again.
//!
//! With KVM's interrupt controllers a vCPU that waits never leaves the guest by itself. So all
//! are kicked out of it now and then, and each says whether it waits for something that only
//! another vCPU could send it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::exit::Crash;

/// What a vCPU waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing, or something that a device can send.
    Runnable,
    /// Only another vCPU can wake it: `hlt` with interrupts off, at this `rip`.
    Halted { rip: u64 },
    /// It was never started.
    NotStarted,
}

/// The answers of all vCPUs.
#[derive(Debug)]
pub(crate) struct HaltCheck(Mutex<Answers>);

#[derive(Debug)]
struct Answers {
    round: u64,
    /// Of each vCPU, what it waits for; `None`: it is runnable, or was not asked yet.
    waiting: Vec<Option<Waiting>>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    for_what: Wait,
    /// The round in which it first said so, and the last one.
    since: u64,
    until: u64,
}

impl HaltCheck {
    pub(crate) fn new(vcpus: usize) -> HaltCheck {
        HaltCheck(Mutex::new(Answers {
            round: 0,
            waiting: vec![None; vcpus],
        }))
    }

    /// Begins a round: from here on all vCPUs are asked.
    pub(crate) fn begin(&self) {
        self.lock().round += 1;
    }

    /// Takes vCPU `id`'s answer; a crash, if by it the whole guest has halted for good.
    ///
    /// Of several vCPUs, one that answered first may have been woken since by one that
    /// answered last. So each has to wait through a second round.
    pub(crate) fn answer(&self, id: usize, wait: Wait) -> Option<Crash> {
        let mut answers = self.lock();
        let Answers { round, waiting } = &mut *answers;
        let now = *round;
        waiting[id] = match (wait, waiting[id]) {
            (Wait::Runnable, _) => None,
            (_, Some(before)) if before.for_what == wait => Some(Waiting {
                until: now,
                ..before
            }),
            _ => Some(Waiting {
                for_what: wait,
                since: now,
                until: now,
            }),
        };
        let timeout = if waiting.len() == 1 { 0 } else { 1 };
        let is_over = |vcpu: &Waiting| vcpu.until == now && vcpu.since + timeout <= now;
        let halted = |vcpu: &Waiting| match vcpu.for_what {
            Wait::Halted { rip } => Some(Crash::Halted { rip }),
            _ => None,
        };
        match waiting
            .iter()
            .all(|vcpu| vcpu.as_ref().is_some_and(is_over))
        {
            true => waiting.iter().flatten().find_map(halted),
            false => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALTED: Wait = Wait::Halted { rip: 7 };
    const CRASH: Option<Crash> = Some(Crash::Halted { rip: 7 });

    #[test]
    fn a_lone_vcpu_is_believed_at_once() {
        let check = HaltCheck::new(1);
        check.begin();
        assert_eq!(check.answer(0, Wait::Runnable), None);
        check.begin();
        assert_eq!(check.answer(0, HALTED), CRASH);
    }

    #[test]
    fn several_have_to_wait_through_two_rounds() {
        let check = HaltCheck::new(3);
        check.begin();
        assert_eq!(check.answer(2, Wait::NotStarted), None);
        assert_eq!(check.answer(0, HALTED), None);
        assert_eq!(check.answer(1, HALTED), None);
        check.begin();
        assert_eq!(check.answer(1, HALTED), None);
        assert_eq!(check.answer(2, Wait::NotStarted), None);
        assert_eq!(check.answer(0, HALTED), CRASH);
    }

    #[test]
    fn one_that_is_runnable_keeps_the_guest_alive() {
        let check = HaltCheck::new(2);
        for _ in 0..5 {
            check.begin();
            assert_eq!(check.answer(0, HALTED), None);
            assert_eq!(check.answer(1, Wait::Runnable), None);
        }
    }

    #[test]
    fn one_that_moved_in_between_waits_anew() {
        let check = HaltCheck::new(2);
        for round in 0..5 {
            check.begin();
            assert_eq!(check.answer(0, HALTED), None);
            assert_eq!(check.answer(1, Wait::Halted { rip: round }), None);
        }
    }
}
