/* Asks a Modbus TCP server, by libmodbus, everything that libmodbus can ask, and prints one line an answer:
 * what was asked, a colon, and the values, or the error's name. The image is the one that our simulator documents.
 * Usage: libmodbus_client PORT UNIT */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>

static modbus_t *ctx;
static uint16_t regs[256];
static uint8_t bits[2048];

static void show_regs(const char *what, int a, int n, int rc) {
	printf("%s %d %d:", what, a, n);
	if (rc < 0) printf(" error %d", errno - MODBUS_ENOBASE);
	for (int i = 0; i < rc; i++) printf(" %u", regs[i]);
	printf("\n");
}

static void show_bits(const char *what, int a, int n, int rc) {
	printf("%s %d %d:", what, a, n);
	if (rc < 0) printf(" error %d", errno - MODBUS_ENOBASE);
	for (int i = 0; i < rc; i++) printf(" %u", bits[i]);
	printf("\n");
}

static void show(const char *what, int a, int n, int rc) {
	printf("%s %d %d:", what, a, n);
	if (rc < 0) printf(" error %d\n", errno - MODBUS_ENOBASE);
	else printf(" ok\n");
}

int main(int argc, char **argv) {
	if (argc != 3) return 2;
	ctx = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
	modbus_set_slave(ctx, atoi(argv[2]));
	if (!ctx || modbus_connect(ctx) < 0) { fprintf(stderr, "connect: %s\n", modbus_strerror(errno)); return 1; }
	int at[] = {0, 1, 100, 9999, 65535 - 124};
	int n[] = {1, 2, 7, 124, 125};
	for (int i = 0; i < 5; i++)
		for (int j = 0; j < 5; j++) {
			show_regs("holding", at[i], n[j], modbus_read_registers(ctx, at[i], n[j], regs));
			show_regs("input", at[i], n[j], modbus_read_input_registers(ctx, at[i], n[j], regs));
		}
	int nb[] = {1, 8, 9, 1999, 2000};
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 5; j++) {
			show_bits("coil", at[i], nb[j], modbus_read_bits(ctx, at[i], nb[j], bits));
			show_bits("discrete", at[i], nb[j], modbus_read_input_bits(ctx, at[i], nb[j], bits));
		}
	show_regs("holding", 65535, 2, modbus_read_registers(ctx, 65535, 2, regs));

	show("write register", 500, 1, modbus_write_register(ctx, 500, 12345));
	show_regs("holding", 499, 3, modbus_read_registers(ctx, 499, 3, regs));
	show("write coil", 501, 1, modbus_write_bit(ctx, 501, 0));
	show("write coil", 502, 1, modbus_write_bit(ctx, 502, 1));
	show_bits("coil", 500, 4, modbus_read_bits(ctx, 500, 4, bits));
	for (int i = 0; i < 123; i++) regs[i] = 40000 + i;
	show("write registers", 600, 123, modbus_write_registers(ctx, 600, 123, regs));
	show_regs("holding", 599, 125, modbus_read_registers(ctx, 599, 125, regs));
	for (int i = 0; i < 1968; i++) bits[i] = i % 2;
	show("write coils", 3000, 1968, modbus_write_bits(ctx, 3000, 1968, bits));
	show_bits("coil", 2999, 1970, modbus_read_bits(ctx, 2999, 1970, bits));
	show("mask", 500, 1, modbus_mask_write_register(ctx, 500, 0x00F2, 0x0025));
	show_regs("holding", 500, 1, modbus_read_registers(ctx, 500, 1, regs));
	for (int i = 0; i < 121; i++) regs[i] = 50000 + i;
	uint16_t back[125];
	int rc = modbus_write_and_read_registers(ctx, 700, 121, regs, 698, 125, back);
	for (int i = 0; i < rc; i++) regs[i] = back[i];
	show_regs("read-write", 698, 125, rc);
	modbus_close(ctx);
	modbus_free(ctx);
	return 0;
}
