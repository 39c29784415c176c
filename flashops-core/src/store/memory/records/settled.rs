use crate::store::ReservationId;
use crate::units::Amounts;

/// The identities that were settled last, with what was settled.
#[derive(Debug)]
pub(super) struct SettledRing {
    entries: Vec<(ReservationId, Amounts)>,
    next: u32,
    most: u32,
}

impl SettledRing {
    pub(super) fn new(most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
        Self { entries: Vec::new(), next: 0, most }
    }

    /// How many it remembers at most.
    pub(super) const fn most(&self) -> usize {
        self.most as usize
    }

    /// The place of the next one, which may be that of the oldest.
    #[inline]
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    /// Who is at a place, if anybody is.
    #[inline]
    pub(super) fn id(&self, at: u32) -> Option<ReservationId> {
        self.entries.get(at as usize).map(|(id, _)| *id)
    }

    /// What was settled by the one at a place; nothing if nobody is there.
    pub(super) fn used(&self, at: u32) -> Amounts {
        self.entries.get(at as usize).map_or(Amounts::ZERO, |(_, used)| *used)
    }

    /// Puts the next one into its place.
    #[inline]
    pub(super) fn put(&mut self, at: u32, id: ReservationId, used: Amounts) {
        match self.entries.get_mut(at as usize) {
            Some(entry) => *entry = (id, used),
            None => self.entries.push((id, used)),
        }
        self.next = if at + 1 == self.most { 0 } else { at + 1 };
    }
}
