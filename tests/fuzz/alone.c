/* Runs a libFuzzer target where there is no libFuzzer: files, and simple changes of them, for some seconds.

   alone SECONDS SEED FILE... The sanitizers end it when something is found, and leave the bytes behind in ./crash. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void));

enum { LONGEST = 8192 };

static uint64_t state;

/* xorshift64 */
static uint32_t chance(uint32_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % limit;
}

static size_t change(uint8_t *data, size_t size) {
    for (uint32_t times = 1 + chance(8); times > 0; times--) {
        size_t at = size > 0 ? chance((uint32_t)size) : 0, length = 1 + chance(16);
        switch (chance(4)) {
        case 0:
            if (size > 0)
                data[at] = (uint8_t)chance(256);
            break;
        case 1:
            if (at + length <= size) {
                memmove(data + at, data + at + length, size - at - length);
                size -= length;
            }
            break;
        case 2:
            if (size + length <= LONGEST) {
                memmove(data + at + length, data + at, size - at);
                for (size_t next = 0; next < length; next++)
                    data[at + next] = (uint8_t)chance(256);
                size += length;
            }
            break;
        case 3:
            if (at + 2 * length <= size)
                memcpy(data + at + length, data + at, length);
            break;
        }
    }
    return size;
}

static const uint8_t *running;
static size_t running_size;

static void leave_behind(void) {
    FILE *left = fopen("crash", "wb");
    if (left != NULL) {
        fwrite(running, 1, running_size, left);
        fclose(left);
    }
}

static void run(const uint8_t *data, size_t size) {
    running = data;
    running_size = size;
    LLVMFuzzerTestOneInput(data, size);
}

int main(int count, char **arguments) {
    static uint8_t first[LONGEST], changed[LONGEST];
    time_t end = time(NULL) + (count > 1 ? atoi(arguments[1]) : 0);
    unsigned long runs = 0;
    if (count < 4)
        return 2;
    __sanitizer_set_death_callback(leave_behind);
    state = strtoull(arguments[2], NULL, 10) | 1;
    do {
        for (int number = 3; number < count; number++) {
            FILE *file = fopen(arguments[number], "rb");
            size_t size;
            if (file == NULL)
                return 2;
            size = fread(first, 1, LONGEST, file);
            fclose(file);
            for (int variant = 0; variant < 20; variant++) {
                memcpy(changed, first, size);
                run(changed, variant > 0 ? change(changed, size) : size);
                runs++;
            }
        }
    } while (time(NULL) < end);
    printf("%lu\n", runs);
    return 0;
}
