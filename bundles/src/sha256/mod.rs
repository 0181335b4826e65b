//! SHA-256 of two messages at a time, for a thread that has two to hash.
//!
//! A SHA instruction waits for the previous one, so one message leaves the unit idle part of the time; blocks of another message fill the
//! gaps. Everywhere else, [`Digest::of`](crate::Digest::of) and [`Hasher`](crate::Hasher) suffice. Source: FIPS 180-4.

#[cfg(target_arch = "x86_64")]
mod x86;

use sha2::block_api::compress256;

use crate::Digest;

const BLOCK_BYTES: usize = 64;

type Block = [u8; BLOCK_BYTES];
type State = [u32; 8];

/// The first 32 bits of the fractional parts of the square roots of the first 8 primes. Source: FIPS 180-4, 5.3.3.
const INITIAL_STATE: State = fractions(2);

/// A message whose bytes come in parts.
pub struct Message {
    state: State,
    /// Starts with the bytes of an incomplete block.
    begun: Block,
    length_bytes: u64,
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl Message {
    /// A message without bytes.
    #[must_use]
    pub fn new() -> Self {
        Self { state: INITIAL_STATE, begun: [0; BLOCK_BYTES], length_bytes: 0 }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        let blocks = self.take(data);
        compress256(&mut self.state, blocks);
    }

    /// Keeps the ends of `data` that belong to incomplete blocks. The caller has to compress the whole blocks between them before anything
    /// else.
    fn take<'d>(&mut self, data: &'d [u8]) -> &'d [Block] {
        let begun = self.begun_bytes();
        self.length_bytes += data.len() as u64;
        let (first, data) = data.split_at(((BLOCK_BYTES - begun) % BLOCK_BYTES).min(data.len()));
        self.begun[begun..begun + first.len()].copy_from_slice(first);
        if begun > 0 && begun + first.len() == BLOCK_BYTES {
            compress256(&mut self.state, &[self.begun]);
        }
        let (blocks, last) = data.as_chunks();
        if !last.is_empty() {
            self.begun[..last.len()].copy_from_slice(last);
        }
        blocks
    }

    fn begun_bytes(&self) -> usize {
        usize::try_from(self.length_bytes % BLOCK_BYTES as u64).expect("less than a block")
    }

    /// The digest of all bytes. Source: FIPS 180-4, 5.1.1.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        let length_bits = self.length_bytes * 8;
        let length_at = BLOCK_BYTES - size_of_val(&length_bits);
        let zeros = (BLOCK_BYTES + length_at - 1 - self.begun_bytes()) % BLOCK_BYTES;
        let mut padding = [0; 2 * BLOCK_BYTES];
        padding[0] = 0x80;
        padding[1 + zeros..][..8].copy_from_slice(&length_bits.to_be_bytes());
        self.update(&padding[..1 + zeros + 8]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        Digest::from_bytes(digest)
    }
}

/// Adds the next bytes of two messages, in parallel as far as both have bytes.
pub fn update_pair(messages: [&mut Message; 2], data: [&[u8]; 2]) {
    let [one, other] = messages;
    let (blocks, other_blocks) = (one.take(data[0]), other.take(data[1]));
    let common = blocks.len().min(other_blocks.len());
    compress_pair([&mut one.state, &mut other.state], [&blocks[..common], &other_blocks[..common]]);
    compress256(&mut one.state, &blocks[common..]);
    compress256(&mut other.state, &other_blocks[common..]);
}

/// Compresses the same number of blocks of both messages.
fn compress_pair([one, other]: [&mut State; 2], blocks: [&[Block]; 2]) {
    #[cfg(target_arch = "x86_64")]
    if x86::compress_pair(&mut [&mut *one, &mut *other], blocks) {
        return;
    }
    compress_each([one, other], blocks);
}

/// The same, one message after the other.
fn compress_each(states: [&mut State; 2], blocks: [&[Block]; 2]) {
    for (state, blocks) in states.into_iter().zip(blocks) {
        compress256(state, blocks);
    }
}

/// The first 32 bits of the fractional parts of the `degree`th roots of the first primes.
const fn fractions<const COUNT: usize>(degree: u32) -> [u32; COUNT] {
    let (mut fractions, mut found, mut number) = ([0; COUNT], 0, 2);
    while found < COUNT {
        if is_prime(number) {
            fractions[found] = fraction_of_root(number, degree);
            found += 1;
        }
        number += 1;
    }
    fractions
}

const fn is_prime(number: u128) -> bool {
    let mut divisor = 2;
    while divisor * divisor <= number {
        if number.is_multiple_of(divisor) {
            return false;
        }
        divisor += 1;
    }
    true
}

/// The first 32 bits after the point: the root of `number` × 2^(32 × `degree`), rounded down, determined from its highest bit down.
#[expect(clippy::cast_possible_truncation, reason = "what lies before the point is to go")]
const fn fraction_of_root(number: u128, degree: u32) -> u32 {
    let (scaled, mut root, mut bit) = (number << (32 * degree), 0_u128, 1 << 40);
    while bit > 0 {
        if (root | bit).pow(degree) <= scaled {
            root |= bit;
        }
        bit >>= 1;
    }
    root as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            (any::<u8>(), 0..4_usize).prop_map(|(byte, blocks)| vec![byte; blocks * BLOCK_BYTES]),
        ];
        proptest::collection::vec(piece, 0..8)
    }

    proptest! {
        #[test]
        fn one_message_in_any_pieces(pieces in pieces()) {
            let mut message = Message::new();
            for piece in &pieces {
                message.update(piece);
            }
            prop_assert_eq!(message.finish(), Digest::of(&pieces.concat()));
        }

        #[test]
        fn two_messages_in_any_pieces(one in pieces(), other in pieces()) {
            let mut messages = [Message::new(), Message::new()];
            for index in 0..one.len().max(other.len()) {
                let piece = |pieces: &[Vec<u8>]| pieces.get(index).cloned().unwrap_or_default();
                update_pair(messages.each_mut(), [&piece(&one), &piece(&other)]);
            }
            prop_assert_eq!(messages.map(Message::finish), [Digest::of(&one.concat()), Digest::of(&other.concat())]);
        }
    }

    #[test]
    fn a_pair_becomes_what_its_messages_become_alone() {
        let blocks: [Vec<Block>; 2] =
            [3, 5].map(|step| (0..40_u8).map(|byte| [byte.wrapping_mul(step); BLOCK_BYTES]).collect());
        let blocks = blocks.each_ref().map(Vec::as_slice);
        let (mut pair, mut alone) = ([INITIAL_STATE; 2], [INITIAL_STATE; 2]);
        compress_pair(pair.each_mut(), blocks);
        compress_each(alone.each_mut(), blocks);
        assert_eq!(pair, alone);
    }

    #[test]
    fn every_length_around_a_block() {
        for length in 0..4 * BLOCK_BYTES {
            let data = vec![0x5A; length];
            let mut message = Message::new();
            message.update(&data);
            assert_eq!(message.finish(), Digest::of(&data), "{length}");
        }
    }
}
