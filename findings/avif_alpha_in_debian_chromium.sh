#!/usr/bin/env bash
# Surprise: Debian 12's Chromium shows the alpha of AVIF pictures with too much contrast: it expands 16..235 to 0..255,
#   although the alpha plane's AV1 header says full range (ffmpeg 9.0.2 and Pillow read it so). Soft edges get harder, and
#   alpha below 16 vanishes. An older Chromium from npm shows the same file right; Debian's build is the one that loads
#   the system's libdav1d 1.0.0, which may or may not be the cause. PNG and VP8 and VP9 WebM are right in both.
# Packages: Debian 12 chromium 156.0.8078.108-1~deb12u1 (install it first), npm @sparticuz/chromium 147.0.0 and
#   puppeteer-core 24.43.1, pillow 13.0.0, numpy 2.4.6; Node.js
# Guess: alpha 32, 64, 128, 192 in both, within a level.
# Seen 2026-11-27: Chromium 147 [32, 64, 128, 192], Debian's Chromium 156 [19, 56, 130, 205]
set -euo pipefail
command -v chromium > /dev/null || { echo "needs Debian's package chromium"; exit 2; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import numpy as np
from PIL import Image

rows, columns = np.mgrid[:128, :128]
alpha = np.clip((columns - 32) * 4, 0, 255)
rgba = np.stack([columns * 2, rows * 2, 255 - columns * 2, alpha], -1).astype(np.uint8)
Image.fromarray(rgba).save("cut.avif", quality=95)
with Image.open("cut.avif") as picture:
    assert np.asarray(picture)[64, [40, 48, 64, 80], 3].tolist() == [32, 64, 128, 192]
PY
npm install --silent --no-audit --no-fund @sparticuz/chromium@147.0.0 puppeteer-core@24.43.1 > /dev/null
cat > look.mjs <<'JS'
import assert from 'node:assert';
import fs from 'node:fs';
import packed from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';

const picture = 'data:image/avif;base64,' + fs.readFileSync('cut.avif').toString('base64');

async function alphas(executablePath, flags) {
  const args = ['--no-sandbox', '--disable-gpu', ...flags];
  const browser = await puppeteer.launch({executablePath, headless: 'shell', timeout: 120000, args});
  const page = await browser.newPage();
  const seen = await page.evaluate(async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const context = new OffscreenCanvas(128, 128).getContext('2d');
    context.drawImage(image, 0, 0);
    return [40, 48, 64, 80].map((column) => context.getImageData(column, 64, 1, 1).data[3]);
  }, picture);
  console.log(await browser.version(), seen);
  await browser.close();
  return seen;
}

assert.deepEqual(await alphas(await packed.executablePath(), ['--no-zygote', '--single-process']), [32, 64, 128, 192]);
assert.deepEqual(await alphas('/usr/bin/chromium', []), [19, 56, 130, 205]);
JS
TMPDIR="$work" node look.mjs
