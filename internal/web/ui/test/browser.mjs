// The page in a real browser: against a plant in memory (test/serve), and what an operator does against a real gateway on simulated devices (operator.mjs). Prints each check and their number; none at all is a failure.
// CHROMIUM names the browser, /usr/bin/chromium by default.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { check, eventually, go, launch, newPage, noise, result, text } from './checks.mjs';
import { operator } from './operator.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const token = 'a-token-for-this-test';

const dir = mkdtempSync(join(tmpdir(), 'millrace-ui-'));
const binary = join(dir, 'serve');
const built = spawnSync('go', ['build', '-o', binary, './serve'], { cwd: here, stdio: ['ignore', 'inherit', 'inherit'] });
if (built.status !== 0) process.exit(1);

// serve starts the server and answers its address and what to tell it.
async function serve(listen, devices = 40, tags = 250) {
  const p = spawn(binary, ['--listen', listen, '--token', token, '--devices', String(devices), '--tags', String(tags)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: p.stdout }).once('line', resolve);
    p.once('exit', (code) => reject(new Error(`serve ended with ${code}`)));
  });
  return { url, say: (line) => p.stdin.write(`${line}\n`), stop: () => new Promise((r) => (p.once('exit', r), p.kill('SIGKILL'))) };
}

const domRows = (page) => page.locator('.space .row').count();

async function overview(page, server) {
  await page.goto(server.url);
  await eventually('40 devices are shown', async () => (await page.locator('[data-device]').count()) === 40);
  await eventually('all of them ready', async () => (await page.locator('[data-state=ready]').count()) === 40);
  await eventually('the verdict is that all is well', async () => (await text(page, '.verdict h1')) === 'All is well');
  await eventually('values per second appear', async () => /^\d/.test(await text(page, '.tile .figure')));

  server.say('down press-03');
  await eventually('a device going down shows without reload', async () => (await page.locator('[data-device=press-03]').getAttribute('data-state')) === 'cooling');
  await eventually('its reason stands in the list', async () => (await text(page, '.unwell')).includes('no reply to 3 requests'));
  await eventually('its alarm stands on top', async () => (await text(page, '.alarms')).includes('Device press-03 is not being read'));
  await page.hover('[data-device=press-03]');
  await eventually('its reason shows on hover', async () => (await text(page, '[role=tooltip]')).includes('no reply to 3 requests'));
  check('the others are unharmed', (await page.locator('[data-state=ready]').count()) === 39);

  server.say('sink down');
  await eventually('a sink that takes nothing raises an alarm', async () => (await text(page, '.alarms')).includes('Sink historian takes no values'));
  server.say('residue 5');
  await eventually('a residue is critical', async () => (await page.locator('.alarms.critical').count()) === 1);
  server.say('residue 0');
  server.say('sink up');
  server.say('up press-03');
  await eventually('all is well again', async () => (await text(page, '.verdict h1')) === 'All is well');

  await eventually('what healed is named', async () => (await text(page, 'h3.healed + ul')).includes('press-03'));

  await page.locator('[data-device=press-02]').focus();
  await page.keyboard.press('Enter');
  await eventually('a device opens by keyboard', async () => (await text(page, '.device h1')) === 'press-02');
}

async function noSuchPage(page, server) {
  for (const path of ['/devices/%', '/devices/%E0%A4%A']) {
    await go(page, server.url, path);
    await eventually(`${path} is no device, and the page says so`, async () => (await text(page, 'main')).includes('no device of that name'));
  }
  await go(page, server.url, '/healing/%zz');
  await eventually('nor is it a rule', async () => (await text(page, 'main')).includes('%zz'));
  await go(page, server.url, '/devices/press-02');
  await eventually('and the page goes on', async () => (await text(page, '.device h1')) === 'press-02');
}

async function why(page, server) {
  await go(page, server.url, '/devices/filler-01');
  await eventually('a device that is well is said to be, with figures', async () => (await text(page, '.why.well')).includes('All is well with filler-01'));
  server.say('down filler-01');
  await eventually('one that is down is explained', async () => (await page.locator('.why:not(.well)').getAttribute('data-cause')) === 'port_closed');
  const said = await text(page, '.why');
  check('with what to do', /What to do\s+Compare the port/i.test(said), said);
  check('and with evidence that has numbers', /17 times/.test(said), said);
  await page.locator('.space .quality button').first().click();
  await eventually('a tag is explained where its quality stands', async () => (await text(page, '.why')).includes('Back to filler-01'));
  await page.getByText('Back to filler-01').click();
  await eventually('and the device again', async () => (await page.locator('.why button').count()) === 0);
  server.say('up filler-01');
  await eventually('and it is well again', async () => (await page.locator('.why.well').count()) === 1);
}

async function tags(page, server) {
  await go(page, server.url, '/tags');
  await eventually('10,000 tags are counted', async () => (await text(page, '.table .foot')) === '10,000 tags');
  await eventually('rows are drawn', async () => (await page.locator('.space .row b').count()) > 10);
  check('few rows are in the DOM', (await domRows(page)) < 80, await domRows(page));
  const value = page.locator('.space .row .num').nth(3);
  const before = await value.innerText();
  await eventually('values move', async () => (await value.innerText()) !== before);

  const frames = await page.evaluate(async () => {
    const box = document.querySelector('.table .body');
    const times = [];
    let most = 0;
    let last = performance.now();
    for (let i = 0; i < 120; i++) {
      box.scrollTop = ((box.scrollHeight - box.clientHeight) * i) / 119;
      const now = await new Promise(requestAnimationFrame);
      times.push(now - last);
      last = now;
      most = Math.max(most, document.querySelectorAll('.space .row').length);
    }
    times.sort((a, b) => a - b);
    return { most, median: times[60], p95: times[113], worst: times[119] };
  });
  console.log(`     scrolling through 10,000 rows: frame ${frames.median.toFixed(1)} ms median, ${frames.p95.toFixed(1)} ms p95, ${frames.worst.toFixed(1)} ms worst`);
  check('few rows are in the DOM while scrolling', frames.most < 80, frames.most);
  await eventually('the last row is there', async () => (await page.locator('.space .row[aria-rowindex="10000"] b').count()) === 1);
  await eventually('its value moves', async () => {
    const last = page.locator('.space .row .num').last();
    const was = await last.innerText();
    await page.waitForTimeout(700);
    return (await last.innerText()) !== was;
  });

  await page.fill('input[type=search]', 'press-03 temperature');
  await eventually('search finds 32 tags', async () => (await text(page, '.table .foot')) === '32 tags');
  const names = await page.locator('.space .name').allInnerTexts();
  check('all of them match', names.length > 10 && names.every((n) => n.startsWith('press-03/temperature')), names[0]);
  check('the search is in the address', page.url().includes('search=press-03'), page.url());

  await page.fill('input[type=search]', 'produced_004');
  await eventually('64-bit integers are exact', async () => {
    const shown = await text(page, '.space .row .num');
    // It counts up by one a second, and a double cannot hold the odd ones.
    return (/^\d+$/.test(shown) && BigInt(shown) > 2n ** 53n && BigInt(shown) % 2n === 1n) || shown;
  });
  await page.fill('input[type=search]', '');
  server.say('down oven-02');
  await page.getByText('uncertain', { exact: true }).click();
  await eventually('the quality filter finds the 250 stale tags', async () => (await text(page, '.table .foot')) === '250 tags');
  await eventually('stale values look stale', async () => (await page.locator('.space .num.aged').count()) > 10);
  server.say('up oven-02');
}

// ink counts the pixels of the chart that are drawn.
const ink = (page) =>
  page.evaluate(() => {
    const c = document.querySelector('.plot canvas');
    if (!c) return 0;
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    let n = 0;
    for (let i = 3; i < d.length; i += 4) if (d[i]) n++;
    return n;
  });

async function trend(page, server) {
  const asked = page.waitForResponse((r) => r.url().includes('/api/v1/history'));
  await go(page, server.url, '/trend?tag=press-01/temperature_000&tag=press-01/speed_002');
  const past = await (await asked).json();
  check('the trend begins with an hour of stored values', past.series.length === 2 && past.series.every((s) => s.points.length > 200) && past.to - past.from >= 3_599_000);
  await eventually('the chart is drawn', async () => (await ink(page)) > 5000);
  const reading = page.locator('.series b').first();
  const before = await reading.innerText();
  await eventually('it goes on live', async () => (await reading.innerText()) !== before);
  await page.mouse.move(640, 450);
  await eventually('the pointer shows a time', async () => (await page.locator('.plot .at').count()) === 1);
  await page.mouse.down();
  await page.mouse.move(800, 450, { steps: 5 });
  await page.mouse.up();
  await eventually('a drag zooms', async () => (await page.locator('.live-again').count()) === 1);
  await page.click('.live-again');
  await page.fill('.adder input', 'oven-01/level');
  await page.locator('.adder li button').first().click();
  await eventually('a tag is added', async () => (await page.locator('.series li').count()) === 3);
  const shorter = page.waitForResponse((r) => r.url().includes('/api/v1/history') && Number(new URL(r.url()).searchParams.get('from')) > Date.now() - 600_000);
  await page.getByText('5 min', { exact: true }).click();
  const five = await (await shorter).json();
  check('another length asks for that length', Math.abs(five.to - five.from - 300_000) < 5000 && five.series.length === 3, five.to - five.from);
  await eventually('and is drawn', async () => (await ink(page)) > 3000);
}

async function maintenance(page, server) {
  await go(page, server.url, '/devices/mixer-01');
  const refused = await page.evaluate(async () => {
    const r = await fetch('/api/v1/devices/mixer-01/maintenance', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"on":true,"reason":"x"}' });
    return [r.status, (await r.json()).todo];
  });
  check('the switch is refused without a token, saying what to do', refused[0] === 401 && refused[1].includes('Bearer'), JSON.stringify(refused));
  await page.click('.service');
  await page.fill('[name=reason]', 'gearbox replaced');
  await page.fill('[name=token]', 'wrong-token-of-some-length');
  await page.click('dialog .primary');
  await eventually('a wrong token is refused in words', async () => (await text(page, 'dialog .problem')).includes('refused'));
  check('and nothing changed', (await text(page, '.device .badge')) === 'Ready');
  await page.fill('[name=token]', token);
  await page.click('dialog .primary');
  await eventually('the right one takes the device out of service', async () => (await text(page, '.device .badge')) === 'Out of service');
  await eventually('with its reason', async () => (await text(page, '.reason')).includes('gearbox replaced'));
  await page.click('.service');
  check('the token is asked once', (await page.locator('[name=token]').count()) === 0);
  await page.click('dialog .primary');
  await eventually('and it goes back', async () => (await text(page, '.device .badge')) === 'Ready');

  await page.locator('.space .row .act button').first().click(); // beside it a tag that is bad has one that asks why
  await page.fill('[name=reason]', 'sensor broken');
  await page.click('dialog .primary');
  await eventually('a single tag goes out of service', async () => (await text(page, '.space .row .quality')) === 'out of service');
}

async function tokenInAddress(browser, server) {
  const page = await newPage(browser);
  await page.goto(`${server.url}#token=${token}`);
  await eventually('a token in the address is taken', async () => (await page.evaluate(() => sessionStorage.getItem('millrace.token'))) === token);
  check('and leaves the address', !page.url().includes('token'), page.url());
  await page.context().close();
}

async function restart(page, server) {
  await go(page, server.url, '/');
  await eventually('the page is live', async () => (await page.locator('[data-status=live]').count()) === 1);
  await server.stop();
  await eventually('a lost connection shows', async () => (await text(page, '.banner')).includes('Connection to the gateway lost'));
  check('old figures look old', (await page.locator('main.lost').count()) === 1);
  const again = await serve(new URL(server.url).host);
  await eventually('it reconnects by itself', async () => (await page.locator('[data-status=live]').count()) === 1 && (await page.locator('.banner').count()) === 0);
  again.say('down pump-01');
  await eventually('and is live', async () => (await page.locator('[data-device=pump-01]').getAttribute('data-state')) === 'cooling');
  return again;
}

async function sizes(browser, server) {
  for (const [name, options] of [
    ['a phone', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }],
    ['1280 dark', { colorScheme: 'dark' }],
  ]) {
    const page = await newPage(browser, options);
    for (const path of ['/', '/tags', '/trend?tag=press-01/temperature_000', '/devices/press-01']) {
      await go(page, server.url, path);
      await page.waitForSelector('main .card');
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(`${path.split('?')[0]} fits ${name}`, over <= 0, `${over} px too wide`);
    }
    if (options.colorScheme) {
      const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      check('dark is dark', /rgb\((\d|1\d|2\d), /.test(dark), dark);
    }
    await page.context().close();
  }
}

// many shows ten thousand devices: what is drawn stays bounded, and all of them can be found.
async function many(browser) {
  const server = await serve('127.0.0.1:0', 10_000, 1);
  const page = await newPage(browser);
  const nodes = () => page.evaluate(() => document.querySelectorAll('*').length);
  try {
    await go(page, server.url, '/');
    await eventually('ten thousand devices are counted', async () => (await page.locator('main').innerText()).includes('All 10,000 devices are read'));
    check('and not all of them drawn', (await nodes()) < 8000, await nodes());
    server.say('down press-1500');
    await eventually('one that goes down is shown', async () => (await page.locator('[data-device=press-1500]').getAttribute('data-state')) === 'cooling');
    await go(page, server.url, '/tags');
    await page.fill('[aria-label=Device]', 'press-1500');
    await eventually('its tags are found by its name', async () => (await text(page, '.table .foot')) === '1 tags');
    check('the list of devices is short', (await nodes()) < 1000, await nodes());
  } finally {
    await page.context().close();
    await server.stop();
  }
}

let server;
let browser;
try {
  server = await serve('127.0.0.1:0');
  browser = await launch();
  const page = await newPage(browser);
  await overview(page, server);
  await noSuchPage(page, server);
  await why(page, server);
  await tags(page, server);
  await trend(page, server);
  await maintenance(page, server);
  await tokenInAddress(browser, server);
  await sizes(browser, server);
  await many(browser);
  server = await restart(page, server);
  await operator(browser);
  check('no script error and nothing against the content policy', noise.length === 0, noise.join(' | '));
} catch (e) {
  check('the run went to its end', false, e.message);
} finally {
  await browser?.close();
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
}
console.log(`browser test: ${result.checks} checks, ${result.failed} failed`);
process.exit(result.checks === 0 || result.failed > 0 ? 1 : 0);
