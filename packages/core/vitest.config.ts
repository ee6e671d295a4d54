import { defineConfig } from "vitest/config";

export default defineConfig({
  // No test is about time: on a busy machine the defaults of 5 and 10 s would fail what is right.
  test: { testTimeout: 60_000, hookTimeout: 60_000, include: ["src/**/*.test.ts", "test/**/*.test.ts"] },
});
