import { mount } from 'svelte';
import 'uplot/dist/uPlot.min.css';
import './app.css';
import App from './App.svelte';
import { takeTokenFromAddress } from './lib/api';
import { session } from './lib/session.svelte';

takeTokenFromAddress();
session.check().catch(() => {}); // a token that the gateway refuses is forgotten
mount(App, { target: document.getElementById('app')! });
