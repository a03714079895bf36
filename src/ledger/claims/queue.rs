//! The line of claims that wait for an address.

use std::net::IpAddr;

use super::super::book::Turn;
use super::super::{Id, Ledger, Task};
use super::Queue;

impl Ledger {
    pub(super) fn enter_queue(&mut self, id: &Id, certain: Option<IpAddr>) {
        let Some(entry) = self.claims.get_mut(id) else { return };
        if entry.queued == Some(Queue(certain)) {
            return;
        }
        if entry.queued.is_some() {
            self.leave_queue(id);
        }
        let Some(entry) = self.claims.get_mut(id) else { return };
        entry.queued = Some(Queue(certain));
        let (pool, turn) = (entry.claim.pool_id(), entry.turn());
        if let Some(book) = self.books.get_mut(&pool) {
            book.enqueue(turn, certain);
        }
    }

    /// Leaves the line without having taken anything.
    pub(super) fn leave_queue(&mut self, id: &Id) {
        if let Some(pool) = self.step_out(id) {
            self.wake_queue(&pool);
        }
    }

    /// Steps out of the line; the pool, if the claim was in one.
    pub(super) fn step_out(&mut self, id: &Id) -> Option<Id> {
        let entry = self.claims.get_mut(id)?;
        let queued = entry.queued.take()?;
        let (pool, turn) = (entry.claim.pool_id(), entry.turn());
        self.dequeue(&pool, &turn, Some(queued));
        Some(pool)
    }

    pub(super) fn dequeue(&mut self, pool: &Id, turn: &Turn, queued: Option<Queue>) {
        let (Some(Queue(certain)), Some(book)) = (queued, self.books.get_mut(pool)) else { return };
        book.dequeue(turn, certain);
        self.drop_if_empty(pool);
    }

    /// Wakes who is next in line, as somebody left the line without taking anything.
    pub(super) fn wake_queue(&mut self, pool: &Id) {
        let Some(book) = self.books.get(pool) else { return };
        let next = book.next_in_line().cloned().map(Task::Claim).collect::<Vec<_>>();
        self.tasks.extend(next);
    }

    /// Wakes the claim that has come within reach of the free addresses, as one before it has taken its own.
    pub(super) fn wake_last_in_line(&mut self, pool: &Id) {
        let last = self.books.get(pool).and_then(|book| book.next_in_line().last());
        let last = last.cloned().map(Task::Claim);
        self.tasks.extend(last);
    }
}
