/**
 * The two voices as one figure: columns around a middle line, the interviewer's voice above it, the user's below. Low
 * notes are in the middle, high ones at the edges. Pure: what is heard comes in, heights go out.
 */
export const COLUMNS = 41;
const BANDS = (COLUMNS + 1) / 2;

/** Hertz; what carries speech. */
const LOWEST = 90;
const HIGHEST = 7_000;
/** Of the analyser's 0 to 255, what counts as silence. */
const FLOOR = 70;
/** How far a column moves towards its new height in one frame: up fast, down slowly. */
const RISE = 0.45;
const FALL = 0.14;

/** Loudness, 0 to 1, of each column for a spectrum as `AnalyserNode.getByteFrequencyData` gives it. */
export function columnsOf(spectrum: Uint8Array, sampleRate: number): number[] {
  const hertzPerBin = sampleRate / 2 / spectrum.length;
  const bands = Array.from({ length: BANDS }, (_, band) => {
    const from = Math.floor(edge(band) / hertzPerBin);
    const to = Math.max(from + 1, Math.ceil(edge(band + 1) / hertzPerBin));
    const bins = spectrum.subarray(from, to);
    const mean = bins.reduce((sum, bin) => sum + bin, 0) / Math.max(1, bins.length);
    return Math.max(0, (mean - FLOOR) / (255 - FLOOR));
  });
  return Array.from({ length: COLUMNS }, (_, column) => bands[Math.abs(column - BANDS + 1)] ?? 0);
}

/** The next frame's heights on the way from the last to the wanted ones. */
export function approach(heights: readonly number[], wanted: readonly number[]): number[] {
  return heights.map((height, column) => {
    const target = wanted[column] ?? 0;
    return height + (target - height) * (target > height ? RISE : FALL);
  });
}

/** A quiet wave along the columns, for when the interviewer thinks. */
export function thinkingWave(seconds: number): number[] {
  return Array.from({ length: COLUMNS }, (_, column) => {
    const phase = column / 5 - seconds * 4;
    return 0.09 * Math.max(0, Math.sin(phase)) ** 2;
  });
}

function edge(band: number): number {
  return LOWEST * (HIGHEST / LOWEST) ** (band / BANDS);
}
