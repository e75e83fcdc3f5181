//! A set of targets, by their positions.

/// Most targets that one set can have.
pub(crate) const MAX_TARGETS: usize = 64;

/// Some of up to [`MAX_TARGETS`] targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mask(u64);

impl Mask {
    /// The first `count`.
    pub(crate) fn first(count: usize) -> Self {
        if count >= MAX_TARGETS { Self(u64::MAX) } else { Self((1 << count) - 1) }
    }

    /// These and one more.
    pub(crate) fn with(self, index: usize) -> Self {
        Self(self.0 | 1 << index)
    }

    /// These without others.
    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those that are in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn contains(self, index: usize) -> bool {
        self.0 & 1 << index != 0
    }

    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their positions, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let index = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(index)
        })
    }
}

impl FromIterator<usize> for Mask {
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        indices.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_in() {
        let mask: Mask = [0, 5, 63].into_iter().collect();
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!((mask.len(), mask.contains(5), mask.contains(6)), (3, true, false));
        assert_eq!(mask.without(Mask::first(6)).iter().collect::<Vec<_>>(), [63]);
        assert_eq!(Mask::first(64).len(), 64);
        assert!(Mask::first(0).is_empty());
    }
}
