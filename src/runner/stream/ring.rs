//! The newest frames of a stream, as bytes that all readers share.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use crate::journal::{Cursor, FrameName, write_frame, write_frame_of};

/// Bytes of frames that are kept for readers behind the newest one.
const KEPT: usize = 1024 * 1024;
/// What a frame costs beside its bytes.
const FRAME_COST: usize = 96;
/// A block with so many bytes is full, and so is what a reader takes at once.
pub(super) const FULL: usize = 16 * 1024;

/// Frames in the making, one behind the other in one piece of memory.
#[derive(Debug)]
pub(super) struct Block<M> {
    pub(super) bytes: BytesMut,
    told: Vec<(Cursor, usize, M)>,
}

impl<M> Block<M> {
    pub(super) fn new() -> Block<M> {
        Block {
            bytes: BytesMut::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// How many frames it has.
    pub(super) fn frames(&self) -> usize {
        self.told.len()
    }

    /// The bytes of the frames that are wanted, and how many there are.
    pub(super) fn wanted(self, want: impl Fn(&M) -> bool) -> (Bytes, usize) {
        let wanted = self.told.iter().filter(|(.., mark)| want(mark)).count();
        if wanted == self.told.len() {
            return (self.bytes.freeze(), wanted);
        }
        let (mut bytes, mut from) = (BytesMut::new(), 0);
        for (_, to, mark) in &self.told {
            if want(mark) {
                bytes.extend_from_slice(&self.bytes[from..*to]);
            }
            from = *to;
        }
        (bytes.freeze(), wanted)
    }

    pub(super) fn push(&mut self, id: Cursor, name: FrameName, json: &str, mark: M) {
        write_frame(&mut self.bytes, id, name, |out| {
            let _infallible = std::io::Write::write_all(out, json.as_bytes());
        });
        self.told.push((id, self.bytes.len(), mark));
    }

    pub(super) fn push_of(&mut self, id: Cursor, name: FrameName, json: &impl Serialize, mark: M) {
        write_frame_of(&mut self.bytes, id, name, json);
        self.told.push((id, self.bytes.len(), mark));
    }
}

/// One frame: where its reader is after it, and its bytes within those of its block.
#[derive(Debug)]
struct Entry<M> {
    id: Cursor,
    block: Bytes,
    from: usize,
    to: usize,
    mark: M,
}

/// The newest frames.
#[derive(Debug)]
pub(super) struct Ring<M> {
    entries: VecDeque<Entry<M>>,
    /// The number of the first entry, counted from the beginning of the stream.
    first: u64,
    size: usize,
    /// The place before the first entry.
    base: Cursor,
    /// The place after the last one, and after events that no reader is told of.
    at: Cursor,
}

/// Where a reader's place is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Right before the frame of this number.
    Here(u64),
    /// Elsewhere: the first place that it can join at, all in all not before its own; its own, if there is none yet.
    Toward(Cursor),
}

/// What a reader takes.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    pub(super) frames: usize,
    /// The number of the frame to go on with.
    pub(super) next: u64,
    /// Where the reader is then.
    pub(super) place: Cursor,
}

impl<M> Ring<M> {
    pub(super) fn new(at: Cursor) -> Ring<M> {
        Ring {
            entries: VecDeque::new(),
            first: 0,
            size: 0,
            base: at,
            at,
        }
    }

    pub(super) fn at(&self) -> Cursor {
        self.at
    }

    /// Takes the frames of a block, after which the stream is at this place; the oldest ones go.
    pub(super) fn push(&mut self, block: Block<M>, at: Cursor) {
        let bytes = block.bytes.freeze();
        let mut from = 0;
        for (id, to, mark) in block.told {
            let block = bytes.clone();
            self.size += to - from + FRAME_COST;
            self.entries.push_back(Entry {
                id,
                block,
                from,
                to,
                mark,
            });
            from = to;
        }
        self.at = at;
        // The newest one stays, however large it is.
        while self.size > KEPT && self.entries.len() > 1 {
            if let Some(gone) = self.entries.pop_front() {
                self.size -= gone.to - gone.from + FRAME_COST;
                self.first += 1;
                self.base = gone.id;
            }
        }
    }

    /// Where this place is.
    pub(super) fn find(&self, place: Cursor) -> Found {
        let not_after = |id: Cursor| id.seq <= place.seq && id.offset <= place.offset;
        let reached = |id: Cursor| id.seq >= place.seq && id.offset >= place.offset;
        let seen = self.entries.partition_point(|entry| not_after(entry.id));
        let before = match seen {
            0 => self.base,
            seen => self.entries[seen - 1].id,
        };
        let after = self.entries.get(seen).map_or(self.at, |entry| entry.id);
        if not_after(before) && before.offset == place.offset && reached(after) {
            return Found::Here(self.first + seen as u64);
        }
        let ids = self.entries.iter().map(|entry| entry.id);
        let mut places = std::iter::once(self.base).chain(ids).chain([self.at]);
        Found::Toward(places.find(|id| reached(*id)).unwrap_or(Cursor {
            seq: self.at.seq.max(place.seq),
            offset: self.at.offset.max(place.offset),
        }))
    }

    /// The frames from this number on that are wanted, as many as go into one write; nothing if the first one has gone.
    /// Those that are one behind the other in one block are not copied.
    pub(super) fn take(
        &self,
        next: u64,
        place: Cursor,
        want: impl Fn(&M) -> bool,
    ) -> Option<Taken> {
        let skip = usize::try_from(next.checked_sub(self.first)?).ok()?;
        let mut taken = Taken {
            bytes: Bytes::new(),
            frames: 0,
            next,
            place,
        };
        let mut pieces: Vec<(&Bytes, usize, usize)> = Vec::new();
        let mut size = 0;
        for entry in self.entries.iter().skip(skip) {
            if want(&entry.mark) {
                if size > 0 && size + (entry.to - entry.from) > FULL {
                    break;
                }
                size += entry.to - entry.from;
                taken.frames += 1;
                match pieces.last_mut() {
                    Some((block, _, to))
                        if block.as_ptr() == entry.block.as_ptr() && *to == entry.from =>
                    {
                        *to = entry.to;
                    }
                    _ => pieces.push((&entry.block, entry.from, entry.to)),
                }
            }
            taken.next += 1;
            taken.place = entry.id;
        }
        if taken.next == self.first + self.entries.len() as u64 {
            // Behind the last frame there may be events that nobody is told of.
            taken.place.seq = taken.place.seq.max(self.at.seq);
        }
        taken.bytes = match pieces[..] {
            [(block, from, to)] => block.slice(from..to),
            _ => {
                let mut bytes = BytesMut::with_capacity(size);
                for (block, from, to) in pieces {
                    bytes.extend_from_slice(&block[from..to]);
                }
                bytes.freeze()
            }
        };
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: u64, offset: u64) -> Cursor {
        Cursor { seq, offset }
    }

    /// A ring with frames after these places.
    fn ring(base: Cursor, ids: &[(u64, u64)], at: Cursor) -> Ring<u64> {
        let mut ring = Ring::new(base);
        let mut block = Block::new();
        for (seq, offset) in ids {
            let json = format!("{seq}");
            block.push(place(*seq, *offset), FrameName::Status, &json, *seq);
        }
        ring.push(block, at);
        ring
    }

    #[test]
    fn a_reader_joins_where_its_place_is_on_the_way_and_else_goes_to_the_next_place_that_is() {
        let ring = ring(place(3, 10), &[(5, 10), (5, 20), (8, 20)], place(9, 20));
        for (seq, offset, found) in [
            (3, 10, Found::Here(0)),
            (4, 10, Found::Here(0)),
            (5, 10, Found::Here(1)),
            (5, 20, Found::Here(2)),
            (7, 20, Found::Here(2)),
            (8, 20, Found::Here(3)),
            (9, 20, Found::Here(3)),
            (0, 0, Found::Toward(place(3, 10))),
            (2, 12, Found::Toward(place(5, 20))),
            (6, 10, Found::Toward(place(8, 20))),
            (5, 15, Found::Toward(place(5, 20))),
            (9, 25, Found::Toward(place(9, 25))),
            (7, 25, Found::Toward(place(9, 25))),
        ] {
            assert_eq!(ring.find(place(seq, offset)), found, "{seq}-{offset}");
        }
    }

    #[test]
    fn what_is_taken_is_what_is_wanted_and_shared_where_it_lies_together() {
        let ring = ring(place(0, 0), &[(1, 0), (2, 0), (3, 0)], place(4, 0));
        let all = ring.take(0, place(0, 0), |_| true).unwrap();
        assert_eq!((all.frames, all.next, all.place), (3, 3, place(4, 0)));
        assert_eq!(all.bytes.as_ptr(), ring.entries[0].block.as_ptr());
        let odd = ring.take(0, place(0, 0), |seq| seq % 2 == 1).unwrap();
        assert_eq!((odd.frames, odd.next), (2, 3));
        let text = String::from_utf8(odd.bytes.to_vec()).unwrap();
        assert_eq!(text.matches("event: status").count(), 2);
        let none = ring.take(3, place(4, 0), |_| true).unwrap();
        assert!(none.bytes.is_empty());
    }

    #[test]
    fn it_keeps_a_bounded_number_of_bytes_and_says_what_has_gone() {
        let mut ring = Ring::new(place(0, 0));
        for seq in 1..=100 {
            let mut block = Block::new();
            let json = "x".repeat(50_000);
            block.push(place(seq, 0), FrameName::Status, &json, ());
            ring.push(block, place(seq, 0));
        }
        assert!(ring.size <= KEPT);
        assert!(ring.take(0, place(0, 0), |()| true).is_none());
        let kept = ring.entries.len() as u64;
        assert_eq!(ring.find(place(100 - kept, 0)), Found::Here(100 - kept));
        assert_eq!(ring.find(place(0, 0)), Found::Toward(place(100 - kept, 0)));
    }
}
