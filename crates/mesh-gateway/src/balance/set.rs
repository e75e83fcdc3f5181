//! The targets themselves, and the calls that are under way at them.

use super::choice::{Candidate, choose};
use super::load::Load;
use super::mask::{MAX_TARGETS, Mask};
use super::standing::{Ejection, Standing};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What is known of a target beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its share of the calls, against the others.
    pub(crate) weight: u32,
    /// Whether it is in our zone.
    pub(crate) near: bool,
}

/// How a call ended, as far as it says something about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answered as it should, if only with an error.
    Good,
    /// It did not.
    Bad,
}

/// One target as it is now, for people and metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetView<'a, T> {
    pub(crate) target: &'a T,
    pub(crate) in_flight: u32,
    /// Ejected for its failures.
    pub(crate) ejected: bool,
    /// Out because checks fail.
    pub(crate) ill: bool,
    /// How often it was ejected.
    pub(crate) ejections: u64,
}

struct Member<T> {
    target: T,
    place: Place,
    load: Load,
    standing: Standing,
    ejections: AtomicU64,
}

/// Up to [`MAX_TARGETS`] targets of one thing.
pub(crate) struct Balance<T> {
    members: Box<[Member<T>]>,
    /// Those in our zone; empty if none is, and then nobody is nearer than the others.
    near: Mask,
    ejection: Ejection,
    slow_start: u64,
    /// Checks run, so what was ejected must pass one before it is used again.
    checked: bool,
    epoch: Instant,
    ejecting: Mutex<()>,
}

impl<T> Balance<T> {
    /// Makes a set. More than [`MAX_TARGETS`] are left out: the configuration allows no more.
    pub(crate) fn new(
        targets: impl IntoIterator<Item = (T, Place)>,
        ejection: Ejection,
        slow_start: Duration,
        checked: bool,
    ) -> Arc<Self> {
        let member = |(target, place)| Member {
            target,
            place,
            load: Load::default(),
            standing: Standing::default(),
            ejections: AtomicU64::new(0),
        };
        let members: Box<[_]> = targets.into_iter().take(MAX_TARGETS).map(member).collect();
        let near =
            members.iter().enumerate().filter(|(_, member)| member.place.near).map(|(at, _)| at).collect();
        Arc::new(Self {
            members,
            near,
            ejection,
            slow_start: micros(slow_start),
            checked,
            epoch: Instant::now(),
            ejecting: Mutex::default(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The targets, in the order of the configuration.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &T> {
        self.members.iter().map(|member| &member.target)
    }

    /// A target for the next call, if possible none of `avoid`. If none can be used, one of all, or `None` as
    /// [`Ejection::spares_last`] has it.
    pub(crate) fn pick(self: &Arc<Self>, avoid: Mask) -> Option<Picked<T>> {
        let now = self.now();
        let all = Mask::first(self.members.len());
        let usable = self.usable(now);
        let choices = [usable.without(avoid), usable, all.without(avoid), all];
        let choices = if self.ejection.spares_last { &choices[..] } else { &choices[..2] };
        let among = choices.iter().copied().find(|among| !among.is_empty())?;
        let candidate = |at: usize| {
            let member = &self.members[at];
            Candidate {
                weight: u64::from(member.place.weight) * member.standing.warmth(now, self.slow_start),
                in_flight: member.load.in_flight().into(),
                latency: member.load.latency(now),
            }
        };
        let index = choose(self.nearest(among), candidate, |below| fastrand::u64(..below))?;
        self.members[index].standing.readmit(now, &self.ejection);
        Some(self.begin(index))
    }

    /// The target with this position, whatever its state.
    pub(crate) fn pin(self: &Arc<Self>, index: usize) -> Option<Picked<T>> {
        (index < self.members.len()).then(|| self.begin(index))
    }

    /// Whether another target than these can be used now.
    pub(crate) fn has_other(&self, than: Mask) -> bool {
        !self.usable(self.now()).without(than).is_empty()
    }

    /// Whether this one can be used now.
    pub(crate) fn is_usable(&self, index: usize) -> bool {
        self.usable(self.now()).contains(index)
    }

    /// The state of each target.
    pub(crate) fn view(&self) -> impl Iterator<Item = TargetView<'_, T>> {
        let now = self.now();
        self.members.iter().map(move |member| TargetView {
            target: &member.target,
            in_flight: member.load.in_flight(),
            ejected: member.standing.ejected(now, self.checked),
            ill: member.standing.is_ill(),
            ejections: member.ejections.load(Relaxed),
        })
    }

    /// A check passed: one that was ejected, and whose time is over, comes back.
    pub(super) fn passed(&self, index: usize) {
        self.members[index].standing.readmit(self.now(), &self.ejection);
    }

    /// Checks made up their mind about a target. Returns whether that is news.
    pub(super) fn found(&self, index: usize, ill: bool) -> bool {
        self.members[index].standing.found(ill, self.now())
    }

    fn usable(&self, now: u64) -> Mask {
        let usable = |at: &usize| self.members[*at].standing.usable(now, self.checked);
        (0..self.members.len()).filter(usable).collect()
    }

    /// Those in our zone, as long as half of the zone can be used: fewer would get too much.
    fn nearest(&self, among: Mask) -> Mask {
        let near = among.and(self.near);
        if !near.is_empty() && near.len() * 2 >= self.near.len() { near } else { among }
    }

    fn begin(self: &Arc<Self>, index: usize) -> Picked<T> {
        self.members[index].load.begin();
        Picked { balance: Arc::clone(self), index, started: self.now() }
    }

    fn failed(&self, index: usize, now: u64) {
        let member = &self.members[index];
        if !member.standing.failed(&self.ejection) {
            return;
        }
        // Rare, and two at once must not take out the last two.
        let _one = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        if member.standing.ejected(now, false) {
            return;
        }
        let ejected = self.members.iter().filter(|other| other.standing.ejected(now, self.checked)).count();
        let others = self.usable(now).without(Mask::default().with(index)).len();
        if self.ejection.allows(self.members.len(), ejected, others + 1) {
            member.standing.eject(now, &self.ejection);
            member.ejections.fetch_add(1, Relaxed);
        }
    }

    /// Microseconds since the set was made; never zero.
    fn now(&self) -> u64 {
        micros(self.epoch.elapsed()) + 1
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2)
}

/// A call under way at a target. Dropped without a verdict, it says nothing about the target.
pub(crate) struct Picked<T> {
    balance: Arc<Balance<T>>,
    index: usize,
    started: u64,
}

impl<T> Picked<T> {
    pub(crate) fn target(&self) -> &T {
        &self.balance.members[self.index].target
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The target answered, or failed to. The call itself may go on: what comes of it still counts as load.
    pub(crate) fn judge(&self, verdict: Verdict) {
        if verdict == Verdict::Good {
            let now = self.balance.now();
            self.balance.members[self.index].load.answered(now.saturating_sub(self.started), now);
        }
        self.judge_untimed(verdict);
    }

    /// The same where the time says nothing about the target, as it was the work that took long.
    pub(crate) fn judge_untimed(&self, verdict: Verdict) {
        match verdict {
            Verdict::Good => self.balance.members[self.index].standing.succeeded(),
            Verdict::Bad => self.balance.failed(self.index, self.balance.now()),
        }
    }
}

impl<T> Drop for Picked<T> {
    fn drop(&mut self) {
        self.balance.members[self.index].load.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PLACE: Place = Place { weight: 1, near: false };
    const EJECTION: Ejection = Ejection {
        failures: 3,
        first: Duration::from_secs(10),
        longest: Duration::from_secs(300),
        most: 50,
        spares_last: true,
    };

    fn set(places: &[Place], checked: bool) -> Arc<Balance<usize>> {
        let targets = places.iter().copied().enumerate();
        Balance::new(targets, EJECTION, Duration::from_secs(10), checked)
    }

    fn fail(set: &Arc<Balance<usize>>, index: usize, times: usize) {
        for _ in 0..times {
            set.pin(index).unwrap().judge(Verdict::Bad);
        }
    }

    /// Which targets get calls now.
    fn used(set: &Arc<Balance<usize>>) -> Vec<usize> {
        let picks: BTreeSet<_> = (0..500).map(|_| *set.pick(Mask::default()).unwrap().target()).collect();
        picks.into_iter().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_fails_is_left_out_and_comes_back_by_itself() {
        let set = set(&[PLACE; 3], false);
        fail(&set, 1, 2);
        assert_eq!(used(&set), [0, 1, 2]);
        fail(&set, 1, 1);
        assert_eq!(used(&set), [0, 2]);
        let view: Vec<_> = set.view().map(|view| (view.ejected, view.ejections)).collect();
        assert_eq!(view, [(false, 0), (true, 1), (false, 0)]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(used(&set), [0, 1, 2]);
        fail(&set, 1, 1);
        assert_eq!(used(&set), [0, 2], "one failure is enough now, and its time is twice as long");
        tokio::time::advance(Duration::from_secs(19)).await;
        assert_eq!(used(&set), [0, 2]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(used(&set), [0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_allowed_part_and_never_the_last_one_is_ejected() {
        let three = set(&[PLACE; 3], false);
        fail(&three, 0, 5);
        fail(&three, 1, 5);
        assert_eq!(used(&three), [1, 2]);
        let one = set(&[PLACE], false);
        fail(&one, 0, 10);
        assert_eq!(used(&one), [0]);
        let two = set(&[PLACE; 2], true);
        assert!(two.found(0, true));
        fail(&two, 1, 10);
        assert_eq!(used(&two), [1], "the other one is ill");
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_last_one_is_not_spared_nobody_is_asked_while_all_are_out() {
        let ejection = Ejection { most: 100, spares_last: false, ..EJECTION };
        let set = Balance::new([(0, PLACE), (1, PLACE)], ejection, Duration::ZERO, false);
        fail(&set, 0, 3);
        assert_eq!(set.pick(Mask::default().with(1)).unwrap().index(), 1, "it is the only one");
        fail(&set, 1, 3);
        assert!(set.pick(Mask::default()).is_none() && set.view().all(|view| view.ejected));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(used(&set), [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_checks_an_ejected_target_comes_back_only_when_one_passes() {
        let set = set(&[PLACE; 2], true);
        fail(&set, 0, 3);
        tokio::time::advance(Duration::from_secs(5)).await;
        set.passed(0);
        assert_eq!(used(&set), [1], "its time is not over");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(used(&set), [1], "no check passed");
        set.passed(0);
        assert_eq!(used(&set), [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_own_zone_is_preferred_while_half_of_it_is_there() {
        let near = Place { near: true, ..PLACE };
        let set = set(&[near, near, PLACE], true);
        assert_eq!(used(&set), [0, 1]);
        set.found(0, true);
        assert_eq!(used(&set), [1]);
        set.found(1, true);
        assert_eq!(used(&set), [2]);
        set.found(2, true);
        assert_eq!(used(&set), [0, 1], "when all are ill, calls try for themselves");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_tried_is_avoided_while_there_is_another() {
        let set = set(&[PLACE; 2], false);
        let tried = Mask::default().with(0);
        assert!((0..100).all(|_| set.pick(tried).unwrap().index() == 1));
        assert!(set.has_other(tried) && !set.has_other(tried.with(1)));
        fail(&set, 1, 3);
        assert!(!set.has_other(tried) && !set.is_usable(1));
        assert!((0..100).all(|_| set.pick(tried).unwrap().index() == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_is_busy_until_its_calls_are_dropped_and_a_call_without_a_verdict_changes_nothing() {
        let set = set(&[PLACE; 2], false);
        let held: Vec<_> = (0..3).map(|_| set.pin(0).unwrap()).collect();
        assert_eq!(used(&set), [1]);
        drop(held);
        assert_eq!(used(&set), [0, 1]);
        assert!(set.view().all(|view| view.in_flight == 0 && !view.ejected));
    }
}
