/* An S7 server on snap7 itself, for the benchmarks: DB 1 has 8,192 bytes, byte i holds i mod 251. Usage: snap7_server PORT.
 * Prints a line when it serves and ends when standard input does. */
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include "snap7.h"

int main(int argc, char **argv) {
	static byte db[8192];
	if (argc != 2) return 2;
	for (unsigned i = 0; i < sizeof db; i++) db[i] = i % 251;
	TS7Server server;
	word port = atoi(argv[1]);
	int clients = 1024;
	server.SetParam(p_u16_LocalPort, &port);
	server.SetParam(p_i32_MaxClients, &clients);
	server.SetEventsMask(evcNone);
	server.SetLogMask(evcNone);
	server.RegisterArea(srvAreaDB, 1, db, sizeof db);
	int err = server.StartTo("127.0.0.1");
	if (err) { fprintf(stderr, "start: %s\n", SrvErrorText(err).c_str()); return 1; }
	printf("ready\n");
	fflush(stdout);
	char c;
	while (read(0, &c, 1) > 0) {}
	server.Stop();
	return 0;
}
