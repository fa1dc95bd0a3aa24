import { expect, test } from "vitest";
import { approach, COLUMNS, columnsOf, thinkingWave } from "../src/figure";

const BINS = 512;
const SAMPLE_RATE = 48_000;

function spectrumOf(hertz: number): Uint8Array {
  const spectrum = new Uint8Array(BINS);
  const bin = hertz / (SAMPLE_RATE / 2 / BINS);
  return spectrum.fill(255, Math.floor(bin * 0.8), Math.ceil(bin * 1.25));
}

test("silence raises nothing", () => {
  expect(columnsOf(new Uint8Array(BINS), SAMPLE_RATE)).toEqual(Array(COLUMNS).fill(0));
});

test("the figure is symmetrical and stays between 0 and 1", () => {
  const columns = columnsOf(new Uint8Array(BINS).fill(255), SAMPLE_RATE);
  expect(columns).toEqual(columns.toReversed());
  expect(Math.min(...columns)).toBeGreaterThan(0);
  expect(Math.max(...columns)).toBeLessThanOrEqual(1);
});

test("higher notes are further out", () => {
  const outermost = (hertz: number) => columnsOf(spectrumOf(hertz), SAMPLE_RATE).findIndex((column) => column > 0);
  expect(outermost(4_000)).toBeLessThan(outermost(1_000));
  expect(outermost(1_000)).toBeLessThan(outermost(200));
});

test("columns rise faster than they fall", () => {
  const [risen = 0] = approach([0], [1]);
  const [fallen = 0] = approach([1], [0]);
  expect(risen).toBeGreaterThan(1 - fallen);
});

test("the thinking wave moves", () => {
  expect(thinkingWave(0)).toHaveLength(COLUMNS);
  expect(thinkingWave(0)).not.toEqual(thinkingWave(0.2));
});
