// A few sounds, made by WebAudio when they are wanted. Silent until switched on.

let audio = null;
let isOn = false;

export function turnSound(on) {
  isOn = on;
  if (on) audio ??= new AudioContext();
  audio?.[on ? "resume" : "suspend"]();
  if (on) play("coin");
}

export const soundIsOn = () => isOn;

// Notes of [hertz, start, length] in seconds, with a wave's shape and a loudness.
const SOUNDS = {
  step: { shape: "triangle", loud: 0.03, notes: [[150, 0, 0.04]] },
  chat: { shape: "square", loud: 0.03, notes: [[520, 0, 0.05], [660, 0.05, 0.06]] },
  open: { shape: "triangle", loud: 0.08, notes: [[392, 0, 0.08], [523, 0.07, 0.1]] },
  coin: { shape: "square", loud: 0.05, notes: [[988, 0, 0.07], [1319, 0.07, 0.24]] },
  warp: { shape: "sine", loud: 0.1, notes: [[262, 0, 0.1], [330, 0.08, 0.1], [392, 0.16, 0.1], [523, 0.24, 0.2]] },
  no: { shape: "sawtooth", loud: 0.04, notes: [[196, 0, 0.1], [147, 0.1, 0.16]] },
};

export function play(name) {
  if (!isOn || !audio) return;
  const { shape, loud, notes } = SOUNDS[name];
  for (const [hertz, start, length] of notes) {
    const wave = audio.createOscillator(), gain = audio.createGain();
    const at = audio.currentTime + start;
    wave.type = shape;
    wave.frequency.value = hertz;
    gain.gain.setValueAtTime(loud, at);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + length);
    wave.connect(gain).connect(audio.destination);
    wave.start(at);
    wave.stop(at + length);
  }
}
