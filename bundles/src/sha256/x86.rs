//! Blocks of two messages with the SHA extensions, alternating. Source: Intel 64 and IA-32 Architectures Software Developer's Manual,
//! volume 2, SHA256RNDS2, SHA256MSG1 and SHA256MSG2.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};
use std::array;

use super::{Block, State, fractions};

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes. Source: FIPS 180-4, 4.2.2.
const ROUND_CONSTANTS: [u32; 64] = fractions(3);

/// Compresses the same number of blocks of both messages; `false` if the processor has no SHA extensions.
pub(super) fn compress_pair(states: &mut [&mut State; 2], blocks: [&[Block]; 2]) -> bool {
    let able =
        is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3");
    if able {
        // SAFETY: the processor has the features for which `compress` is compiled.
        #[expect(unsafe_code, reason = "docs/decisions/two-messages.md")]
        unsafe {
            compress(states, blocks);
        }
    }
    able
}

/// One message: the state in the order of the instructions, and the last 16 words of the message schedule.
#[derive(Clone, Copy)]
struct Lane {
    abef: __m128i,
    cdgh: __m128i,
    words: [__m128i; 4],
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn compress(states: &mut [&mut State; 2], blocks: [&[Block]; 2]) {
    let mut lanes = states.each_ref().map(|state| lane(state));
    for pair in blocks[0].iter().zip(blocks[1]) {
        let before = lanes;
        lanes[0].words = words(pair.0);
        lanes[1].words = words(pair.1);
        for quarter in 0..4 {
            for lane in &mut lanes {
                four_rounds(lane, 0, quarter);
            }
        }
        for group in 1..4 {
            for quarter in 0..4 {
                for lane in &mut lanes {
                    schedule(&mut lane.words, quarter);
                    four_rounds(lane, group, quarter);
                }
            }
        }
        for (lane, before) in lanes.iter_mut().zip(before) {
            lane.abef = _mm_add_epi32(lane.abef, before.abef);
            lane.cdgh = _mm_add_epi32(lane.cdgh, before.cdgh);
        }
    }
    for (state, lane) in states.iter_mut().zip(lanes) {
        **state = state_of(lane);
    }
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn lane(state: &State) -> Lane {
    let word = |index: usize| state[index].cast_signed();
    let abef = _mm_set_epi32(word(0), word(1), word(4), word(5));
    let cdgh = _mm_set_epi32(word(2), word(3), word(6), word(7));
    Lane { abef, cdgh, words: [_mm_setzero_si128(); 4] }
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn state_of(Lane { abef, cdgh, .. }: Lane) -> State {
    [
        _mm_extract_epi32(abef, 3),
        _mm_extract_epi32(abef, 2),
        _mm_extract_epi32(cdgh, 3),
        _mm_extract_epi32(cdgh, 2),
        _mm_extract_epi32(abef, 1),
        _mm_extract_epi32(abef, 0),
        _mm_extract_epi32(cdgh, 1),
        _mm_extract_epi32(cdgh, 0),
    ]
    .map(i32::cast_unsigned)
}

/// The 16 big-endian words of a block.
#[inline]
#[target_feature(enable = "ssse3")]
fn words(block: &Block) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0C0D_0E0F_0809_0A0B, 0x0405_0607_0001_0203);
    let halves = block.as_chunks().0;
    let half = |index: usize| i64::from_le_bytes(halves[index]);
    array::from_fn(|index| _mm_shuffle_epi8(_mm_set_epi64x(half(2 * index + 1), half(2 * index)), swap))
}

/// The next four words of the message schedule, which take the place of the oldest.
#[inline]
#[target_feature(enable = "sha,ssse3")]
fn schedule(words: &mut [__m128i; 4], quarter: usize) {
    let [oldest, old, new, newest] = array::from_fn(|age| words[(quarter + age) % 4]);
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(oldest, old), _mm_alignr_epi8(newest, new, 4));
    words[quarter] = _mm_sha256msg2_epu32(sum, newest);
}

/// The rounds in one group of 16 that use the words of one quarter.
#[inline]
#[target_feature(enable = "sha")]
fn four_rounds(lane: &mut Lane, group: usize, quarter: usize) {
    let constants: [i32; 4] = array::from_fn(|round| ROUND_CONSTANTS[16 * group + 4 * quarter + round].cast_signed());
    let [first, second, third, fourth] = constants;
    let input = _mm_add_epi32(lane.words[quarter], _mm_set_epi32(fourth, third, second, first));
    lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, input);
    lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32(input, 0x0E));
}
