// What Go makes of `http.ListenAndServe(":8080", …)`: a static executable with one IPv6 socket for both families. Answers any
// POST with how many it has had, any GET as a health check, one request per connection.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *header(const char *head, const char *name) {
    for (const char *line = head; (line = strstr(line, "\r\n")) != NULL;) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0)
            return line + strlen(name);
    }
    return NULL;
}

// Reads a request into `head`, which its body need not fit into. Returns whether it was a whole one.
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
    const char *length = header(head, "content-length:");
    long left = (length ? atol(length) : 0) - (long)(head + have - (end + 4));
    char rest[4096];
    while (left > 0) {
        ssize_t got = read(connection, rest, left < (long)sizeof rest ? left : (long)sizeof rest);
        if (got <= 0)
            return 0;
        left -= got;
    }
    return 1;
}

int main(void) {
    int no = 0, yes = 1, requests = 0;
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(8080), .sin6_addr = in6addr_any};
    if (bind(listener, (struct sockaddr *)&any, sizeof any) != 0 || listen(listener, 128) != 0) {
        perror("cannot listen on [::]:8080");
        return 1;
    }
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        char head[16384], body[64], answer[256];
        if (read_request(connection, head, sizeof head)) {
            if (strncmp(head, "POST ", 5) == 0)
                snprintf(body, sizeof body, "{\"requests\": %d}", ++requests);
            else
                snprintf(body, sizeof body, "{\"status\": \"Healthy\"}");
            int length = snprintf(answer, sizeof answer,
                                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                  "Content-Length: %zu\r\n\r\n%s",
                                  strlen(body), body);
            if (write(connection, answer, length) != length)
                perror("write");
        }
        close(connection);
    }
}
