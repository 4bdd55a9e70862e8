import { getTargets, Refused, setToken, token } from './api';

// Session is whose token this tab has. The token is sent with what changes something and with nothing else, in a header that no other site can make a browser send.
class Session {
  user = $state(''); // '' when nobody is signed in, or the gateway writes nothing
  role = $state(''); // write, admin
  has = $state(!!token()); // there is a token

  mayWrite = $derived(this.role === 'write' || this.role === 'admin');
  isAdmin = $derived(this.role === 'admin'); // maintenance and healing take that

  // check asks the gateway whose the token is. One that it refuses is forgotten, and the refusal thrown.
  async check() {
    this.has = !!token();
    if (!this.has) return this.forget();
    try {
      const t = await getTargets({});
      this.user = t.user;
      this.role = t.role;
    } catch (e) {
      if (!(e instanceof Refused) || e.status === 404) return; // out of reach, or a gateway that writes nothing: the token may be good for the rest
      this.forget();
      throw e;
    }
  }

  async signIn(typed: string) {
    setToken(typed);
    await this.check();
  }

  forget() {
    setToken('');
    this.user = this.role = '';
    this.has = false;
  }
}

export const session = new Session();
