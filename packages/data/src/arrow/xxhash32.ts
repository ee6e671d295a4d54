/**
 * XXH32, the checksum of LZ4 frames: four lanes of multiply and rotate over 16 bytes, then a tail and a final mix
 * (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). Depends on nothing.
 */

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/** The unsigned 32-bit hash of some bytes, with seed 0. */
export function xxhash32(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { byteLength } = bytes;
  let at = 0;
  let hash = PRIME_5;
  if (byteLength >= 16) {
    let lane1 = (PRIME_1 + PRIME_2) | 0;
    let lane2 = PRIME_2 | 0;
    let lane3 = 0;
    let lane4 = -PRIME_1 | 0;
    for (const last = byteLength - 16; at <= last; at += 16) {
      lane1 = round(lane1, view.getUint32(at, true));
      lane2 = round(lane2, view.getUint32(at + 4, true));
      lane3 = round(lane3, view.getUint32(at + 8, true));
      lane4 = round(lane4, view.getUint32(at + 12, true));
    }
    hash = rotate(lane1, 1) + rotate(lane2, 7) + rotate(lane3, 12) + rotate(lane4, 18);
  }
  hash = (hash + byteLength) | 0;
  for (; at + 4 <= byteLength; at += 4) {
    hash = (hash + Math.imul(view.getUint32(at, true), PRIME_3)) | 0;
    hash = Math.imul(rotate(hash, 17), PRIME_4);
  }
  for (; at < byteLength; at++) {
    hash = (hash + Math.imul(view.getUint8(at), PRIME_5)) | 0;
    hash = Math.imul(rotate(hash, 11), PRIME_1);
  }
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function round(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, PRIME_2)) | 0, 13), PRIME_1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
