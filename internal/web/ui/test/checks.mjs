// What the browser tests check with. Each check prints a line; result says how many there were.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const wait = 15_000;
export const noise = [];
export const result = { checks: 0, failed: 0 };

export function launch() {
  if (!existsSync(executablePath)) throw new Error(`no browser at ${executablePath}; install chromium or set CHROMIUM`);
  return chromium.launch({
    executablePath,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

export function check(what, ok, detail = '') {
  result.checks++;
  if (!ok) result.failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${ok || detail === '' ? '' : `: ${detail}`}`);
}

// eventually checks that f becomes true.
export async function eventually(what, f, most = wait) {
  const end = Date.now() + most;
  let last;
  do {
    last = await f().catch((e) => e);
    if (last === true) return check(what, true);
    await new Promise((r) => setTimeout(r, 50));
  } while (Date.now() < end);
  check(what, false, `still ${last instanceof Error ? last.message : JSON.stringify(last)} after ${most} ms`);
}

export async function newPage(browser, options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(wait);
  page.on('pageerror', (e) => noise.push(e.message));
  page.on('console', (m) => {
    // Chromium itself reports refused and broken requests; what the scripts and the content policy complain about is ours.
    if (m.type() === 'error' && !m.text().startsWith('Failed to load resource')) noise.push(m.text());
  });
  return page;
}

export const go = async (page, url, path) => {
  await page.goto(`${url}#${path}`);
};
export const text = (page, selector) => page.locator(selector).first().innerText();
