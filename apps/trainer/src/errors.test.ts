import { CorpusError } from "@sparseloom/data";
import { expect, it } from "vitest";
import { hintOf } from "./errors.ts";

it("names the flag of the option that an error of the packages is about", () => {
  expect(hintOf(new CorpusError("empty", "no row", { option: "heldOut" }))).toBe(" (--held-out)");
  expect(hintOf(new CorpusError("not-arrow", "is a NumPy array: convert it first"))).toBe(
    " (sparseloom corpus pack)",
  );
  expect(hintOf(new CorpusError("empty", "no row"))).toBe("");
  // A worker's error has lost its class on the way to the main thread.
  const ties = "BatchTopK cannot order this mini-batch: 9 are equal; use a smaller mini-batch";
  expect(hintOf(new Error(ties))).toBe(" (--batch)");
  expect(hintOf(new Error("anything else"))).toBe("");
  expect(hintOf("no error")).toBe("");
});
