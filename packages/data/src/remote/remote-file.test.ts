import { afterEach, beforeEach, describe, expect, it } from "vitest";
import fc from "fast-check";
import { ObjectServer } from "../../test/object-server.ts";
import type { Fault } from "../../test/object-server.ts";
import type { RangeReader } from "../range-reader.ts";
import { Storage } from "../storage.ts";
import type { RemoteOptions } from "./options.ts";

/** Attempts follow at once, and a silent server is given up soon; 8 attempts as by default. */
const QUICK: RemoteOptions = { cacheBytes: 0, backoffMs: 1, silenceMs: 150 };
const SIZE = 300_000;
const BYTES = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31 + (i >> 8)) & 255);

let server: ObjectServer;
let storage: Storage;
beforeEach(async () => {
  server = await ObjectServer.start();
  storage = new Storage(QUICK);
  server.put("/object", BYTES);
});
afterEach(async () => {
  await storage.close();
  await server[Symbol.asyncDispose]();
});

async function openObject(path = "/object"): Promise<RangeReader> {
  return await storage.open(server.origin + path);
}

/** Reads a range too large for a page. */
async function readMiddle(file: RangeReader): Promise<Buffer> {
  const into = Buffer.alloc(150_000);
  await file.read(into, 100_000);
  return into;
}
const MIDDLE = Buffer.from(BYTES.subarray(100_000, 250_000));

describe("a remote file", () => {
  it("is opened by one request, which tells size and identity", async () => {
    const file = await openObject();
    expect(file.size).toBe(SIZE);
    expect(file.identity).toMatch(/^"[0-9a-f]{32}":300000$/);
    expect(file.path).toBe(`${server.origin}/object`);
    expect(server.requests).toHaveLength(1);
  });

  it("gives any range, into shared memory too, over connections that are kept", async () => {
    const file = await openObject();
    await fc.assert(
      fc.asyncProperty(fc.nat(SIZE), fc.nat(SIZE), async (a, b) => {
        const [from, to] = a < b ? [a, b] : [b, a];
        const into = new Uint8Array(new SharedArrayBuffer(to - from));
        await file.read(into, from);
        expect(Buffer.from(into).equals(BYTES.subarray(from, to))).toBe(true);
      }),
      { numRuns: 50 },
    );
    expect(server.connections).toBe(1);
  });

  it("asks for small ranges by the page, once", async () => {
    const file = await openObject();
    const into = new Uint8Array(16);
    for (const position of [0, 70_000, 80_000, 70_008, 65_536 - 8]) {
      await file.read(into, position);
      expect(into).toEqual(BYTES.slice(position, position + 16));
    }
    await Promise.all([file.read(into, 200_000), file.read(into.slice(), 200_100)]);
    expect(server.requests.map(({ first, last }) => [first, last])).toEqual([
      [0, 65_535],
      [65_536, 131_071],
      [196_608, 262_143],
    ]);
  });

  it("may be empty", async () => {
    server.put("/empty", new Uint8Array(0));
    expect((await openObject("/empty")).size).toBe(0);
  });

  it("follows redirects", async () => {
    const file = await openObject("/redirect/object");
    expect((await readMiddle(file)).equals(MIDDLE)).toBe(true);
  });

  it("gives up on redirects in a circle, and on those that leave the web", async () => {
    await expect(openObject(`${"/redirect".repeat(9)}/object`)).rejects.toThrow(
      "redirects more than 5 times",
    );
    await expect(storage.open("http://not a host/")).rejects.toThrow("is not a URL");
    await expect(storage.open(`${server.origin}/a/*.arrow`)).rejects.toThrow("give each file's URL");
  });

  const passing: readonly [string, ...Fault[]][] = [
    ["drops in the middle", { kind: "drop", after: 70_000 }],
    [
      "drops again and again",
      ...[1, 50_000, 30_000, 0, 12_345].map((after) => ({ kind: "drop", after }) as const),
    ],
    ["truncates", { kind: "truncate", after: 149_999 }],
    ["truncates to nothing", { kind: "truncate", after: 0 }],
    ["falls silent before its answer", { kind: "stall" }],
    ["falls silent in the middle", { kind: "stall", after: 70_000 }],
    ["is late", { kind: "delay", ms: 50 }],
    [
      "is overloaded",
      { kind: "status", status: 503 },
      { kind: "status", status: 429, headers: { "retry-after": "0" } },
    ],
    ["has an error", { kind: "status", status: 500 }],
    ["gives other bytes than asked for", { kind: "other-range" }],
    ["gives more bytes than asked for", { kind: "excess" }],
  ];
  it.each(passing)("comes whole from a server that %s", async (_what, ...faults) => {
    const file = await openObject();
    server.failNext(...faults);
    expect((await readMiddle(file)).equals(MIDDLE)).toBe(true);
  });

  it("is read on from where the connection broke", async () => {
    const file = await openObject();
    server.failNext({ kind: "drop", after: 70_000 });
    await readMiddle(file);
    expect(server.requests.slice(1).map(({ first, last }) => [first, last])).toEqual([
      [100_000, 249_999],
      [170_000, 249_999],
    ]);
  });

  it("is given up after bounded attempts, with the address and the reason", async () => {
    const file = await openObject();
    server.fault = () => ({ kind: "stall" });
    await expect(readMiddle(file)).rejects.toMatchObject({
      kind: "unreachable",
      message: expect.stringMatching(
        /^http:\/\/127\.0\.0\.1:\d+\/object: the server did not deliver in 8 attempts over [\d.e+]+ s; the last one: no byte came for 0\.15 s$/,
      ),
    });
    expect(server.requests).toHaveLength(9);
  });

  it("is given up when every attempt takes too long, however often bytes come", async () => {
    const slow = new Storage({ ...QUICK, attempts: 2, attemptMs: 100, silenceMs: 10_000 });
    const file = await slow.open(`${server.origin}/object`);
    server.fault = () => ({ kind: "stall", after: 10 });
    await expect(readMiddle(file)).rejects.toThrow("not complete after 0.1 s");
    await slow.close();
  });

  it("cannot be opened on a server that accepts and never answers, or that is not there", async () => {
    server.fault = () => ({ kind: "stall" });
    await expect(openObject()).rejects.toThrow(/in 4 attempts .* no byte came for 0.15 s/);
    await expect(storage.open("http://127.0.0.1:1/x")).rejects.toThrow(
      /127\.0\.0\.1:1\/x: .* no answer \(ECONNREFUSED\)/,
    );
  });

  it("does not try again what cannot get better", async () => {
    for (const [fault, kind, words] of [
      [{ kind: "ignore-range" }, "unsupported", "ignores byte ranges"],
      [{ kind: "status", status: 403 }, "unreadable", "refuses to give it (403: Forbidden)"],
      [{ kind: "status", status: 404 }, "not-found", "no such object (404: Not Found)"],
      [
        { kind: "status", status: 206, headers: { "content-encoding": "gzip" } },
        "unsupported",
        "Content-Encoding gzip",
      ],
    ] as const) {
      const before = server.requests.length;
      server.failNext(fault);
      await expect(openObject()).rejects.toMatchObject({ kind, message: expect.stringContaining(words) });
      expect(server.requests).toHaveLength(before + 1);
    }
  });

  it.each([
    ["an ETag", {}],
    ["a weak ETag, which no condition matches", { etag: "weak" }],
    ["a date only", { etag: "none" }],
    ["its size only", { etag: "none", lastModified: "none" }],
  ] as const)("fails loudly when the object changed, known by %s", async (_what, options) => {
    server.put("/object", BYTES, options);
    const file = await openObject();
    expect((await readMiddle(file)).equals(MIDDLE)).toBe(true);
    server.put("/object", BYTES.map((byte) => byte ^ 1).subarray(0, SIZE - 1), options);
    await expect(readMiddle(file)).rejects.toMatchObject({
      kind: "changed",
      message: expect.stringMatching(/\/object: the object changed while it was in use \(.+\); start again$/),
    });
  });

  it("fails loudly when the object was changed between two attempts at one range, or removed", async () => {
    const file = await openObject();
    server.fault = () => {
      server.put(
        "/object",
        BYTES.map((byte) => byte ^ 1),
      );
      return { kind: "drop", after: 5000 };
    };
    await expect(readMiddle(file)).rejects.toMatchObject({ kind: "changed" });
    server.remove("/object");
    await expect(readMiddle(file)).rejects.toThrow("was removed while it was in use");
  });

  it("stops at once when it is aborted, also while it waits", async () => {
    const patient = new Storage({ cacheBytes: 0, backoffMs: 60_000 });
    const file = await patient.open(`${server.origin}/object`);
    for (const fault of [
      { kind: "stall" },
      { kind: "stall", after: 10 },
      { kind: "status", status: 503 },
    ] as const) {
      server.fault = () => fault;
      const abort = new AbortController();
      const reading = file.read(new Uint8Array(150_000), 0, abort.signal);
      setTimeout(() => abort.abort(new Error("enough")), 50);
      await expect(reading).rejects.toBeInstanceOf(Error);
    }
    // A page that several wait for is still fetched when the first of them leaves.
    server.fault = () => ({ kind: "delay", ms: 50 });
    const abort = new AbortController();
    const first = file.read(new Uint8Array(10), 200_000, abort.signal);
    const second = file.read(new Uint8Array(10), 200_000);
    abort.abort(new Error("enough"));
    await expect(first).rejects.toThrow("enough");
    await second;
    await patient.close();
  });

  it("cannot be read after it was closed", async () => {
    const file = await openObject();
    await storage.close();
    await expect(readMiddle(file)).rejects.toThrow("closed");
  });
});
