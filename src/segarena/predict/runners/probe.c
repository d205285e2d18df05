/* The program of the probe image: reads a file and writes one, as every submission must be able to.

   It is the image's /bin/sh, so that it starts as a submission does, and ignores its arguments.
   Exit code 0: both went well; 11: the input cannot be read; 12: nothing can be written.

   gcc -Os -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector -fno-pic -no-pie \
       -fno-asynchronous-unwind-tables -Wl,-n,--build-id=none,-z,noseparate-code,-z,noexecstack \
       -s -o probe probe.c
*/
#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, EXIT = 60, OPENAT = 257 };
static long call(long n, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, EXIT = 93, OPENAT = 56 };
static long call(long n, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#endif
enum { HERE = -100, READ_ONLY = 0, CREATE = 0101 };

void _start(void) {
    char letter = 0;
    long file = call(OPENAT, HERE, (long)"/workspace/inputs/probe", READ_ONLY, 0);
    if (file < 0 || call(READ, file, (long)&letter, 1, 0) != 1)
        call(EXIT, 11, 0, 0, 0);
    file = call(OPENAT, HERE, (long)"/workspace/outputs/probe", CREATE, 0644);
    if (file < 0 || call(WRITE, file, (long)&letter, 1, 0) != 1)
        call(EXIT, 12, 0, 0, 0);
    call(EXIT, 0, 0, 0, 0);
    for (;;) {
    }
}
