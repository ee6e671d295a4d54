import { readFileSync } from "node:fs";
import { allocateMemory, type Plan } from "@sparseloom/core";
import { describe, expect, it } from "vitest";
import { RequestError } from "../errors.ts";
import { adviseHugePages, hugePagesOf } from "./huge-pages.ts";

it("the setting is the word in brackets", () => {
  expect(hugePagesOf("always [madvise] never\n")).toBe("madvise");
  expect(hugePagesOf("[always] madvise never\n")).toBe("always");
  expect(hugePagesOf("always madvise [never]\n")).toBe("never");
  expect(hugePagesOf("")).toBeUndefined();
  expect(hugePagesOf("something else")).toBeUndefined();
});

it("is refused where there are none to ask for", () => {
  expect(() => adviseHugePages([], "never")).toThrow(
    new RequestError(
      "--experimental-huge-pages cannot be had here: /sys/kernel/mm/transparent_hugepage/enabled is not madvise; leave it out, or say --no-experimental-huge-pages",
    ),
  );
  expect(() => adviseHugePages([], "always")).not.toThrow();
});

const ffi = process.getBuiltinModule("node:ffi");
describe.runIf(hugePagesOf() === "madvise" && ffi !== undefined)("asking for large pages", () => {
  it("marks the memory as one that is to have them", () => {
    const { buffer } = allocateMemory({ byteLength: 2 ** 22 } as Plan, { shared: true });
    adviseHugePages([buffer]);
    const address = BigInt(ffi?.getRawPointer(new Uint8Array(buffer)) ?? 0);
    // Ranges begin with their addresses; flags are the last of a range's lines, hg says that large pages were asked for.
    const ranges = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
    const own = ranges.find((range) => {
      const [from, to] = range
        .split(" ")[0]!
        .split("-")
        .map((hex) => BigInt(`0x${hex}`));
      return from! <= address && address < to!;
    });
    expect(own).toMatch(/^VmFlags:.* hg\b/m);
  });
});
