// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as persistence from "../../src/feed/persistence";

function denyAccess(): void {
  for (const storage of ["localStorage", "sessionStorage"] as const) {
    vi.spyOn(window, storage, "get").mockImplementation(() => {
      throw new DOMException("denied", "SecurityError");
    });
  }
}

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a value between visits", () => {
  it("is generated once, and stored", () => {
    const name = persistence.name();

    expect(name).toMatch(/^Guest \d{3}$/u);
    expect(persistence.name()).toBe(name);
    expect(persistence.tab()).toBe(persistence.tab());
    persistence.saveName("Ada");
    persistence.saveColor(12);
    expect([persistence.name(), persistence.color()]).toEqual(["Ada", 12]);
  });

  it("has a default when the stored one is missing or invalid", () => {
    const colors = [null, "red", "-1", "256"].map((stored) => {
      localStorage.clear();
      if (stored !== null) {
        localStorage.setItem("steadfast.color", stored);
      }
      return persistence.color();
    });

    expect(colors).toEqual([5, 5, 5, 5]);
  });

  it("is generated at each visit when the browser denies access to its storage", () => {
    denyAccess();

    expect(persistence.storage()).toBeNull();
    expect(persistence.name()).toMatch(/^Guest/u);
    persistence.saveName("Ada");
    expect(persistence.name()).toMatch(/^Guest/u);
    expect(persistence.tab()).not.toBe(persistence.tab());
  });
});

it("a key is a random UUID of version 4", () => {
  const keys = Array.from({ length: 50 }, () => persistence.newKey());

  expect(new Set(keys).size).toBe(50);
  for (const key of keys) {
    expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u);
  }
});
