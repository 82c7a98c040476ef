//! A digest that fits into one mail: Gmail shows no more of one than 102 KB of HTML, and hides the foot with its links.
//!
//! What does not fit is shortened from the end: later articles become headlines, and where even these are too many, the
//! last ones are counted only. Pure but for the measuring, which is its caller's.

use crate::template::view::{Card, DigestView};

/// Bytes of an HTML part, encoded, from which on Gmail clips a message.
pub const GMAIL_CLIPS_AT: usize = 102 * 1000;
/// What is left free of them: names and links of readers differ in length.
const MARGIN: usize = 1500;
/// The most that the HTML part of a sample may have.
pub const MOST_BYTES: usize = GMAIL_CLIPS_AT - MARGIN;
/// How many articles stay whole while headlines are left out.
const WHOLE: usize = 8;

/// How much of a digest is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Articles with all they have; the others are headlines.
    pub full: usize,
    /// Articles with at least a headline.
    pub kept: usize,
}

impl Room {
    /// The same digest with this much of it.
    pub fn of(self, view: &DigestView) -> DigestView {
        let mut view = view.clone();
        let all = view.featured.len() + view.latest.len();
        let kept = self.kept.min(all);
        let mut cards: Vec<Card> = view.featured.iter().chain(&view.latest).take(kept).cloned().collect();
        view.articles.clone_from(&cards);
        view.headlines = cards.split_off(self.full.min(kept));
        let featured = view.featured.len().min(cards.len());
        view.latest = cards.split_off(featured);
        view.featured = cards;
        view.digest.shortened = !view.headlines.is_empty() || kept < all;
        view.digest.left_out = all - kept;
        view
    }
}

/// The most of a digest of `articles` that fits. `fits` says whether so much does; where nothing does, the least that
/// there is.
///
/// # Errors
/// As `fits`.
pub fn room<E>(articles: usize, mut fits: impl FnMut(Room) -> Result<bool, E>) -> Result<Room, E> {
    let all = Room { full: articles, kept: articles };
    if articles == 0 || fits(all)? {
        return Ok(all);
    }
    // The largest number below `above` of which it is true; more is never true where less is not.
    let mut most = |above: usize, room: &dyn Fn(usize) -> Room| -> Result<Option<usize>, E> {
        let (mut good, mut bad) = (None, above);
        // From below, since what is much takes long to measure.
        let mut step = WHOLE;
        while step < bad {
            if !fits(room(step))? {
                bad = step;
                break;
            }
            good = Some(step);
            step *= 2;
        }
        let mut low = good.map_or(0, |good| good + 1);
        while low < bad {
            let middle = low + (bad - low) / 2;
            if fits(room(middle))? {
                good = Some(middle);
                low = middle + 1;
            } else {
                bad = middle;
            }
        }
        Ok(good)
    };
    if let Some(full) =
        most(articles, &|full| Room { full, kept: articles })?.filter(|full| *full >= WHOLE.min(articles - 1))
    {
        return Ok(Room { full, kept: articles });
    }
    let whole = WHOLE.min(articles - 1);
    let by_kept = |kept| Room { full: whole.min(kept), kept };
    if let Some(kept) = most(articles, &by_kept)?.filter(|kept| *kept > whole) {
        return Ok(by_kept(kept));
    }
    let full = most(articles, &|full| Room { full, kept: articles })?;
    let least = Room { full: 0, kept: 1 };
    Ok(match full {
        Some(full) => Room { full, kept: articles },
        None => most(articles, &|kept| Room { full: 0, kept })?
            .filter(|kept| *kept > 0)
            .map_or(least, |kept| Room { full: 0, kept }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room where a whole article takes `whole` and a headline `headline`, of 100.
    fn room_of(articles: usize, whole: usize, headline: usize) -> Room {
        room(articles, |room| Ok::<_, ()>(room.full * whole + (room.kept - room.full) * headline <= 100)).unwrap()
    }

    #[test]
    fn all_of_it_is_kept_where_all_of_it_fits() {
        assert_eq!(room_of(10, 10, 1), Room { full: 10, kept: 10 });
        assert_eq!(room_of(0, 10, 1), Room { full: 0, kept: 0 });
    }

    #[test]
    fn later_articles_become_headlines_and_then_are_left_out() {
        assert_eq!(room_of(20, 8, 1), Room { full: 11, kept: 20 });
        assert_eq!(room_of(200, 8, 1), Room { full: 8, kept: 44 });
        assert_eq!(room_of(20, 30, 5), Room { full: 0, kept: 20 });
        assert_eq!(room_of(3, 300, 60), Room { full: 0, kept: 1 });
        assert_eq!(room_of(3, 300, 600), Room { full: 0, kept: 1 });
    }
}
