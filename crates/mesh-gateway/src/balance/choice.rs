//! Power of two choices: draw two by weight, take the one with less to do.

use super::mask::Mask;

/// What speaks for and against one candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its share, in whatever unit; never zero.
    pub(super) weight: u64,
    /// Calls under way.
    pub(super) in_flight: u64,
    /// How long its answers took lately, in microseconds; zero if nothing is known.
    pub(super) latency: u64,
}

/// How much slower, as a factor, a target must be to lose against one that has as much to do. Small differences must
/// not count: they would send everything to one target.
const SLOWER: u64 = 2;
/// Differences below this many microseconds never count.
const NOISE: u64 = 1_000;

/// Picks one of `among`; `random(n)` is a number below `n`. `None` only if there is nothing to pick from.
pub(super) fn choose(
    among: Mask,
    candidate: impl Fn(usize) -> Candidate,
    mut random: impl FnMut(u64) -> u64,
) -> Option<usize> {
    if among.len() <= 1 {
        return among.iter().next();
    }
    let first = draw(among, &candidate, &mut random)?;
    let second = draw(among.without(Mask::default().with(first)), &candidate, &mut random)?;
    Some(if beats(candidate(second), candidate(first)) { second } else { first })
}

fn draw(
    among: Mask,
    candidate: &impl Fn(usize) -> Candidate,
    random: &mut impl FnMut(u64) -> u64,
) -> Option<usize> {
    let total: u64 = among.iter().map(|index| candidate(index).weight).sum();
    // Weights of targets that come back grow while this runs, so the drawn number may be past the end.
    let mut left = random(total.max(1));
    let mut last = None;
    for index in among.iter() {
        let weight = candidate(index).weight;
        if left < weight {
            return Some(index);
        }
        left -= weight;
        last = Some(index);
    }
    last
}

/// Whether the second one drawn is to be preferred. On a tie the first stays, so that weights hold at low load, too.
fn beats(second: Candidate, first: Candidate) -> bool {
    let (load, other) = (second.in_flight * first.weight, first.in_flight * second.weight);
    if load != other {
        return load < other;
    }
    let known = first.latency > 0 && second.latency > 0;
    known && first.latency > second.latency.saturating_mul(SLOWER) && first.latency - second.latency > NOISE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn idle(weight: u64) -> Candidate {
        Candidate { weight, in_flight: 0, latency: 0 }
    }

    fn shares(candidates: &[Candidate], draws: u32) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0u32; candidates.len()];
        for _ in 0..draws {
            let among = Mask::first(candidates.len());
            counts[choose(among, |at| candidates[at], |n| random.u64(..n)).unwrap()] += 1;
        }
        counts.iter().map(|count| f64::from(*count) / f64::from(draws)).collect()
    }

    #[test]
    fn idle_targets_get_calls_by_weight() {
        let shares = shares(&[idle(300), idle(100)], 20_000);
        assert!((shares[0] - 0.75).abs() < 0.02, "{shares:?}");
    }

    #[test]
    fn the_most_loaded_of_all_gets_nothing() {
        let busy = Candidate { in_flight: 9, ..idle(100) };
        let shares = shares(&[busy, idle(100), idle(100)], 5_000);
        assert_eq!(shares[0], 0.0, "{shares:?}");
    }

    #[test]
    fn load_counts_in_proportion_to_weight() {
        let (large, small) =
            (Candidate { in_flight: 5, ..idle(300) }, Candidate { in_flight: 2, ..idle(100) });
        assert_eq!(shares(&[large, small], 1_000), [1.0, 0.0]);
    }

    #[test]
    fn only_a_target_that_is_clearly_slower_is_left_out_when_both_are_idle() {
        let with = |latency| Candidate { latency, ..idle(100) };
        assert_eq!(shares(&[with(50_000), with(5_000)], 1_000), [0.0, 1.0]);
        for (one, two) in [(6_000, 5_000), (900, 100), (50_000, 0)] {
            let shares = shares(&[with(one), with(two)], 5_000);
            assert!((shares[0] - 0.5).abs() < 0.05, "{one} {two}: {shares:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_picked_is_a_candidate(
            bits in any::<u64>(),
            weights in prop::collection::vec((1u64..100_000, 0u64..1000, 0u64..1 << 40), 64),
            seed in any::<u64>(),
        ) {
            let among: Mask = (0..64).filter(|at| bits & 1 << at != 0).collect();
            let mut random = fastrand::Rng::with_seed(seed);
            let candidate = |at: usize| {
                let (weight, in_flight, latency) = weights[at];
                Candidate { weight, in_flight, latency }
            };
            let picked = choose(among, candidate, |n| random.u64(..n));
            prop_assert_eq!(picked.is_none(), among.is_empty());
            prop_assert!(picked.is_none_or(|at| among.contains(at)));
        }
    }
}
