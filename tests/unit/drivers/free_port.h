/*
 * Ports to listen on, below those that the kernel gives to outgoing connections: nobody takes one between the question
 * and the listening.
 */
#ifndef TESTS_UNIT_DRIVERS_FREE_PORT_H
#define TESTS_UNIT_DRIVERS_FREE_PORT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FREE_PORT_FIRST = 12000, FREE_PORT_END = 20000, FREE_PORT_BLOCK = 16 };

/* A loopback port nobody listens on, in host order. Test programs that run side by side ask from different ports on:
 * one program's are next to each other, and the next one's, by its pid, behind them. */
static inline uint16_t free_port(void)
{
    static unsigned asked;
    for (unsigned tries = 0; tries < FREE_PORT_END - FREE_PORT_FIRST; tries++) {
        unsigned at = (unsigned)getpid() * FREE_PORT_BLOCK + asked++;
        uint16_t port = (uint16_t)(FREE_PORT_FIRST + at % (FREE_PORT_END - FREE_PORT_FIRST));
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
        if (fd >= 0)
            close(fd);
        if (bound == 0)
            return port;
    }
    fprintf(stderr, "free_port.h: no free port from %d on\n", FREE_PORT_FIRST);
    exit(1);
}

#endif
