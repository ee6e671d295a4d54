import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resolveRemoteOptions } from "./options.ts";

describe("options for remote corpora", () => {
  it("come from the call, then from the environment, then from the defaults", () => {
    const environment = {
      XDG_CACHE_HOME: "/home/me/.cache",
      SPARSELOOM_CACHE_SIZE: "1.5 GB",
      AWS_ENDPOINT_URL: "http://localhost:9000",
    };
    const resolved = resolveRemoteOptions({}, environment);
    expect(resolved).toMatchObject({
      cacheFolder: join("/home/me/.cache", "sparseloom", "blocks"),
      cacheBytes: 1.5e9,
      s3Endpoint: "http://localhost:9000",
      limits: { attempts: 8 },
    });
    const own = resolveRemoteOptions(
      { cacheBytes: 7, attempts: 2 },
      { ...environment, SPARSELOOM_CACHE_DIR: "/scratch", AWS_ENDPOINT_URL_S3: "http://s3" },
    );
    expect(own).toMatchObject({ cacheFolder: "/scratch", cacheBytes: 7, s3Endpoint: "http://s3" });
    expect(own.limits.attempts).toBe(2);
    expect(resolveRemoteOptions({}, {})).toMatchObject({ cacheBytes: 10e9, s3Endpoint: undefined });
    expect(resolveRemoteOptions({}, { SPARSELOOM_CACHE_SIZE: "0" }).cacheBytes).toBe(0);
  });

  it("are refused with what would be right", () => {
    expect(() => resolveRemoteOptions({}, { SPARSELOOM_CACHE_SIZE: "much" })).toThrow(
      'SPARSELOOM_CACHE_SIZE must be a size such as 500MB, 20GB or 0 (no cache), got "much"',
    );
    expect(() => resolveRemoteOptions({ attempts: 0 }, {})).toThrow(
      "attempts must be a number of at least 1, got 0",
    );
  });
});
