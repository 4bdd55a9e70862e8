/* Reads 200 bytes of DB 1 through snap7 itself, for the benchmarks. Usage: snap7_client PORT SECONDS.
 * Prints requests, CPU seconds and wall seconds. */
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include "snap7.h"

static double now(clockid_t clock) {
	timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
	static byte data[200];
	if (argc != 3) return 2;
	TS7Client client;
	word port = atoi(argv[1]);
	double seconds = atof(argv[2]);
	client.SetParam(p_u16_RemotePort, &port);
	if (client.ConnectTo("127.0.0.1", 0, 2)) { fprintf(stderr, "connect failed\n"); return 1; }
	for (int i = 0; i < 1000; i++) client.DBRead(1, 0, sizeof data, data);
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID), begin = now(CLOCK_MONOTONIC);
	long n = 0;
	for (; now(CLOCK_MONOTONIC) < begin + seconds; n++)
		if (client.DBRead(1, 0, sizeof data, data) || data[199] != 199) { fprintf(stderr, "wrong answer\n"); return 1; }
	printf("%ld %f %f\n", n, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, now(CLOCK_MONOTONIC) - begin);
	client.Disconnect();
	return 0;
}
