/* A Modbus TCP server on libmodbus with the image that our simulator documents, for any number of connections.
 * Prints its port on standard output and ends when standard input ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
	modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
	modbus_mapping_t *map = modbus_mapping_new(65536, 65536, 65536, 65536);
	if (!ctx || !map) return 1;
	for (int a = 0; a < 65536; a++) {
		map->tab_registers[a] = a;
		map->tab_input_registers[a] = 65535 - a;
		map->tab_bits[a] = a % 3 == 0;
		map->tab_input_bits[a] = a % 5 == 0;
	}
	int listener = modbus_tcp_listen(ctx, 128);
	if (listener < 0) { fprintf(stderr, "listen: %s\n", modbus_strerror(errno)); return 1; }
	struct sockaddr_in addr;
	socklen_t len = sizeof addr;
	getsockname(listener, (struct sockaddr *)&addr, &len);
	printf("%d\n", ntohs(addr.sin_port));
	fflush(stdout);

	fd_set all;
	FD_ZERO(&all);
	FD_SET(listener, &all);
	FD_SET(0, &all);
	int top = listener;
	uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
	for (;;) {
		fd_set ready = all;
		if (select(top + 1, &ready, NULL, NULL, NULL) < 0) return 1;
		if (FD_ISSET(0, &ready)) break;
		for (int fd = 1; fd <= top; fd++) {
			if (!FD_ISSET(fd, &ready)) continue;
			if (fd == listener) {
				int c = accept(listener, NULL, NULL);
				if (c >= 0 && c < FD_SETSIZE) {
					FD_SET(c, &all);
					if (c > top) top = c;
				} else if (c >= 0) close(c);
				continue;
			}
			modbus_set_socket(ctx, fd);
			int n = modbus_receive(ctx, query);
			if (n > 0) modbus_reply(ctx, query, n, map);
			else if (n < 0) { close(fd); FD_CLR(fd, &all); }
		}
	}
	return 0;
}
