import { describe, expect, it } from "vitest";
import { CorpusError, isCorpusError } from "./errors.ts";

describe("CorpusError", () => {
  it("says the place before what is wrong, in one line", () => {
    const error = new CorpusError("nulls", "two\n  lines", {
      path: "a.arrow",
      batch: 0,
      row: 3,
      column: "x",
    });
    expect(error.message).toBe('a.arrow, batch 0, row 3, column "x": two lines');
    expect(error).toMatchObject({ name: "CorpusError", kind: "nulls", path: "a.arrow", batch: 0, row: 3 });
  });

  it("keeps the error that led to it, and no cause where there is none", () => {
    const cause = new Error("inner");
    expect(new CorpusError("unreadable", "x", { cause }).cause).toBe(cause);
    expect("cause" in new CorpusError("empty", "x")).toBe(false);
  });

  it("is recognised by kind", () => {
    const error: unknown = new CorpusError("empty", "x");
    expect(isCorpusError(error)).toBe(true);
    expect(isCorpusError(error, "nulls", "empty")).toBe(true);
    expect(isCorpusError(error, "nulls")).toBe(false);
    expect(isCorpusError(new Error("x"))).toBe(false);
  });
});
