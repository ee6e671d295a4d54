import { defineConfig } from "vitest/config";

export default defineConfig({
  // Every test here starts worker threads or whole processes; side by side they would only slow each other down.
  test: {
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
  },
});
