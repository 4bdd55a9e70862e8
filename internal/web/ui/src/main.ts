import { mount } from 'svelte';
import 'uplot/dist/uPlot.min.css';
import './app.css';
import App from './App.svelte';
import { takeTokenFromAddress } from './lib/api';

takeTokenFromAddress();
mount(App, { target: document.getElementById('app')! });
