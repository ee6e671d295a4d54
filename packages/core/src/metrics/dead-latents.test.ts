import { describe, expect, it } from "vitest";
import { normals } from "../../test/support.ts";
import { type DeadLatentEvidence, diagnoseDead, lossSpikes } from "./dead-latents.ts";

const D = 4;
/** Rows about the mean (0, 0, 0, 10): the first three dimensions are ±1 each, in all combinations. */
const rows = Float32Array.from(
  [0, 1, 2, 3, 4, 5, 6, 7].flatMap((bits) => [bits & 1 ? 1 : -1, bits & 2 ? 1 : -1, bits & 4 ? 1 : -1, 10]),
);

/** Latent 0 and 1 are alive; latent 2 is what the test says. */
function evidence(
  encoder: readonly number[],
  bias: number,
  part: Partial<DeadLatentEvidence> & { decoder?: readonly number[] } = {},
): DeadLatentEvidence {
  const { decoder = encoder, ...rest } = part;
  return {
    dIn: D,
    dead: [2],
    encoder: Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, ...encoder),
    b_enc: Float32Array.of(-0.25, -0.75, bias),
    W_dec: Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, ...decoder),
    rows,
    thresholds: new Float32Array(8),
    ...rest,
  };
}

describe("diagnoseDead", () => {
  it("tells a latent whose direction never reaches the threshold, and how close it came", () => {
    const thresholds = Float32Array.of(5, 5, 5, 5, 3, 3, 3, 3);
    const [found] = diagnoseDead(evidence([0, 0, 1, 0], 0, { thresholds }));
    expect(found).toMatchObject({
      cause: "never selected",
      bestZ: 1,
      threshold: 3,
      meanPart: 0,
      spikeStep: null,
    });
  });

  it("tells a bias that sank: with the live latents' median it would be active", () => {
    expect(diagnoseDead(evidence([0, 0, 1, 0], -9))[0]).toMatchObject({
      cause: "bias",
      bias: -9,
      liveBias: -0.5,
      bestZ: -8,
    });
    // With theirs it would be at 0.4 − 0.5.
    expect(diagnoseDead(evidence([0, 0, 0.4, 0], -9))[0]?.cause).toBe("never selected");
  });

  it("tells a latent that the mean holds down", () => {
    expect(diagnoseDead(evidence([0, 0, 1, -0.5], 0))[0]).toMatchObject({
      cause: "mean",
      meanPart: -5,
      bestZ: -4,
    });
    expect(diagnoseDead(evidence([0, 0, 1, -0.5], -2))[0]?.cause).toBe("never selected");
    // A mean that is less than the spread of z is not what holds it down.
    expect(diagnoseDead(evidence([0, 0, 1, -0.06], -0.72))[0]?.cause).toBe("never selected");
  });

  it("tells the live latent that it duplicates, but not an opposite one", () => {
    expect(diagnoseDead(evidence([0, 0.2, 0, 0], -9, { decoder: [0.1, 3, 0, 0] }))[0]).toMatchObject({
      cause: "duplicate",
      nearest: 1,
    });
    expect(diagnoseDead(evidence([0, 0.2, 0, 0], -9, { decoder: [0, -3, 0, 0] }))[0]?.cause).toBe(
      "never selected",
    );
  });

  it("tells the spike at which it fell silent, whatever else holds", () => {
    const spikes = [
      { step: 40, from: 300, to: 400 },
      { step: 90, from: 800, to: 900 },
    ];
    const causeAt = (lastFired: number, fireCount: number) => {
      const training = { lastFired: [0, 0, lastFired], fireCount: [9, 9, fireCount], spikes };
      const [found] = diagnoseDead(evidence([0, 1, 0, 0], -9, { training }));
      return found?.cause === "loss spike" ? found.spikeStep : found?.cause;
    };
    expect(causeAt(350, 100)).toBe(40);
    expect(causeAt(295, 100)).toBe(40);
    expect(causeAt(850, 10)).toBe(90);
    // Long silent before the first, between the two, after both, and never active at all.
    expect(causeAt(200, 100)).toBe("duplicate");
    expect(causeAt(500, 100)).toBe("duplicate");
    expect(causeAt(950, 100)).toBe("duplicate");
    expect(causeAt(0, 0)).toBe("duplicate");
  });

  it("does without live latents", () => {
    const all = { ...evidence([0, 0, 1, 0], -9), dead: [0, 1, 2] };
    expect(diagnoseDead(all).map(({ nearest, nearestCosine }) => [nearest, nearestCosine])).toEqual([
      [-1, -1],
      [-1, -1],
      [-1, -1],
    ]);
  });

  it("finds the closest row of all by brute force", () => {
    const random = { rows: normals(60 * D, 1), thresholds: normals(60, 2), encoder: normals(9 * D, 3) };
    const b_enc = normals(9, 4);
    const found = diagnoseDead({ dIn: D, dead: [1, 5], W_dec: normals(9 * D, 5), b_enc, ...random });
    for (const { latent, bestZ, threshold } of found) {
      const margins = Array.from({ length: 60 }, (_, row) => {
        let z = b_enc[latent];
        for (let j = 0; j < D; j++) z += random.rows[row * D + j] * random.encoder[latent * D + j];
        return z - random.thresholds[row];
      });
      expect(bestZ - threshold).toBeCloseTo(Math.max(...margins), 5);
    }
  });
});

describe("lossSpikes", () => {
  const log = (losses: readonly number[]) =>
    losses.map((loss, index) => ({ step: 10 * (index + 1), examples: 1000 * (index + 1), loss }));

  it("finds a loss above 1.5 times the usual, and since when", () => {
    expect(lossSpikes(log([9, 4, 3, 3, 3, 4.6, 3, 2]))).toEqual([{ step: 60, from: 5000, to: 6000 }]);
  });

  it("sees none in a loss that falls, or in the first three lines", () => {
    expect(lossSpikes(log([9, 5, 4, 3, 2.5, 2.4, 2.6, 2.5]))).toEqual([]);
    expect(lossSpikes(log([1, 5, 9]))).toEqual([]);
    expect(lossSpikes([])).toEqual([]);
  });
});
