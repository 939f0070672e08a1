// The program of an image: a static executable that tells what its surroundings are. GET is a health check; POST answers who runs it,
// where, with which word in its environment, and which of the files named by its arguments are there.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void facts(char *out, size_t size, int argc, char **argv) {
    char directory[256] = "";
    gid_t groups[16];
    int n = getgroups(16, groups);
    const char *word = getenv("WORD");
    size_t at = snprintf(out, size, "{\"uid\": %d, \"gid\": %d, \"directory\": \"%s\", \"word\": \"%s\", \"groups\": [", getuid(),
                         getgid(), getcwd(directory, sizeof directory) ? directory : "", word ? word : "");
    for (int i = 0; i < n; i++)
        at += snprintf(out + at, size - at, "%s%d", i ? ", " : "", groups[i]);
    at += snprintf(out + at, size - at, "], \"files\": {");
    for (int i = 1; i < argc; i++)
        at += snprintf(out + at, size - at, "%s\"%s\": %s", i > 1 ? ", " : "", argv[i], access(argv[i], F_OK) ? "false" : "true");
    snprintf(out + at, size - at, "}}");
}

// Reads one request. Returns whether it was a whole one.
static int read_request(int connection, char *head, size_t size) {
    size_t have = 0;
    char *end = NULL;
    while (end == NULL) {
        ssize_t got = have + 1 < size ? read(connection, head + have, size - 1 - have) : 0;
        if (got <= 0)
            return 0;
        have += got;
        head[have] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    const char *length = strcasestr(head, "\r\ncontent-length:");
    long left = (length ? atol(length + 17) : 0) - (long)(head + have - (end + 4));
    char rest[4096];
    while (left > 0) {
        ssize_t got = read(connection, rest, left < (long)sizeof rest ? left : (long)sizeof rest);
        if (got <= 0)
            return 0;
        left -= got;
    }
    return 1;
}

int main(int argc, char **argv) {
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(8080)};
    if (bind(listener, (struct sockaddr *)&any, sizeof any) != 0 || listen(listener, 128) != 0) {
        perror("cannot listen on 8080");
        return 1;
    }
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        char head[16384], body[4096] = "{\"status\": \"Healthy\"}", answer[8192];
        if (read_request(connection, head, sizeof head)) {
            if (strncmp(head, "POST ", 5) == 0)
                facts(body, sizeof body, argc, argv);
            int n = snprintf(answer, sizeof answer,
                             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                             strlen(body), body);
            if (write(connection, answer, n) < 0)
                perror("cannot answer");
        }
        close(connection);
    }
}
