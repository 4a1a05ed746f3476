/** A single blue pixel as PNG, base64. */
export const samplePng =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNQSHgAAAIEAWFm2RjzAAAAAElFTkSuQmCC'

/** Eight samples of silence, mono, 8 kHz, 8 bit, as WAV, base64. */
export const sampleWav = 'UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA=='
