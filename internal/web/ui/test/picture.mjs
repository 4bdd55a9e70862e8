// Makes the picture of the documentation: the page of `millrace demo` while one press is down, signed in with the demo's own token. `make page` calls it with the file to write.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launch, newPage } from './checks.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../../..');
const file = process.argv[2];
if (!file) throw new Error('name the file to write');

const dir = mkdtempSync(join(tmpdir(), 'millrace-picture-'));
const binary = join(dir, 'millrace');
let demo;
let browser;
try {
  if (spawnSync('go', ['build', '-o', binary, './cmd/millrace'], { cwd: root, stdio: 'inherit' }).status !== 0) throw new Error('millrace cannot be built');
  demo = spawn(binary, ['demo', '--listen', '127.0.0.1:0', '--data', join(dir, 'data')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const address = await new Promise((resolve, reject) => {
    createInterface({ input: demo.stderr }).on('line', (line) => {
      const found = /Open (http\S+)/.exec(line);
      if (found) resolve(found[1]);
    });
    demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}`)));
  });
  browser = await launch();
  const page = await newPage(browser, { viewport: { width: 1280, height: 760 }, timezoneId: 'UTC' });
  page.setDefaultTimeout(120_000);
  await page.goto(address);
  await page.locator('.worst .heals .badge').waitFor(); // a press is stopped after 20 s, and healing has acted on it
  await page.locator('.who.in').waitFor();
  await page.getByText(/[2-9] s ago/).waitFor();
  const shot = await page.screenshot({ animations: 'disabled' });
  const small = spawnSync('go', ['run', './palette'], { cwd: here, input: shot, maxBuffer: 1 << 26 });
  if (small.status !== 0) throw new Error(String(small.stderr));
  writeFileSync(file, small.stdout);
  console.log(`${file}: ${shot.length} bytes as it was taken, ${small.stdout.length} as it is`);
} finally {
  await browser?.close();
  if (demo && demo.exitCode === null) {
    const gone = new Promise((r) => demo.once('exit', r));
    demo.kill('SIGINT');
    await gone;
  }
  rmSync(dir, { recursive: true, force: true });
}
