import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { CAP_MS, FLOOR_MS } from "../../src/feed/backoff";
import { retry, retryDelayMs, sleep } from "../../src/feed/retry";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});

afterEach(() => {
  vi.useRealTimers();
});

it("a call is repeated with increasing delays until it succeeds, and each reason is reported", async () => {
  const reasons: string[] = [];
  const call = vi
    .fn()
    .mockRejectedValueOnce(new Error("one"))
    .mockRejectedValueOnce("two")
    .mockResolvedValue(3);
  const result = retry(call, (reason) => reasons.push(reason), new AbortController().signal);
  await vi.advanceTimersByTimeAsync(retryDelayMs(0) + retryDelayMs(1));

  await expect(result).resolves.toBe(3);
  expect(reasons).toEqual(["one", "two"]);
  expect([0, 1, 2, 3, 9].map(retryDelayMs)).toEqual([175, 300, 550, 550, 550]);
  expect(retryDelayMs(9)).toBeLessThan(FLOOR_MS + CAP_MS);
});

it("an aborted retry rejects without another call", async () => {
  const stopping = new AbortController();
  const call = vi.fn().mockRejectedValue(new Error("failed"));
  const result = retry(call, () => undefined, stopping.signal).catch(() => "aborted");
  await vi.advanceTimersByTimeAsync(0);
  stopping.abort();

  await expect(result).resolves.toBe("aborted");
  expect([call.mock.calls.length, vi.getTimerCount()]).toEqual([1, 0]);
});

it("a sleep ends with its signal, also with one that is already aborted", async () => {
  const stopping = new AbortController();
  const asleep = sleep(60_000, stopping.signal);
  stopping.abort();

  await asleep;
  await sleep(60_000, stopping.signal);
  expect(vi.getTimerCount()).toBe(0);
});
