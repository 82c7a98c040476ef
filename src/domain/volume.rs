//! Volumes: the older part of a feed, as newspapers are bound once there are many of them (RFC 5005 §4).
//!
//! An entry is *loose* until it is bound into a volume, and stays in that volume for ever. Feed readers poll one document,
//! that of the loose entries, so there are never many of those.

/// What is to be bound of a feed that has too many loose entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Entries in each volume.
    pub size: usize,
    /// How many volumes.
    pub volumes: usize,
    /// So many of those that came in last stay loose, whatever their dates: whoever polls has to see them.
    pub spared: usize,
}

impl Binding {
    /// What is to be bound where `limit` entries may be loose; nothing while they are no more.
    ///
    /// More than half of `limit` stay loose: whoever looks in after so many new entries has missed none.
    pub fn due(loose: usize, limit: usize) -> Option<Self> {
        let size = (limit / 2).max(1);
        let over = loose.checked_sub(limit).filter(|over| *over > 0)?;
        Some(Self { size, volumes: over.div_ceil(size), spared: limit / 4 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_of_what_may_be_loose_stays_so() {
        for limit in 1..=60 {
            assert_eq!(Binding::due(limit, limit), None);
            for loose in limit + 1..limit * 4 {
                let binding = Binding::due(loose, limit).unwrap();
                let left = loose - binding.volumes * binding.size;
                assert!(left <= limit && 2 * left > limit && left > binding.spared, "{loose} {limit}: {binding:?}");
            }
        }
        assert_eq!(Binding::due(51, 50), Some(Binding { size: 25, volumes: 1, spared: 12 }));
        assert_eq!(Binding::due(50_000, 50), Some(Binding { size: 25, volumes: 1998, spared: 12 }));
    }
}
