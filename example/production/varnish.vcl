# /etc/varnish/default.vcl: a cache in front of two hosts, for Varnish 7.1 and newer.
# docs/production.md explains each line.

vcl 4.1;

import directors;
import std;

probe ready {
    .request =
        "GET /ready HTTP/1.1"
        "Host: localhost"
        "Connection: close";
    .interval = 500ms;
    .timeout = 2s;
    .window = 1;
    .threshold = 1;
    .initial = 1;
}

backend host_9009 {
    .host = "127.0.0.1";
    .port = "9009";
    .probe = ready;
    .connect_timeout = 2s;
    .first_byte_timeout = 1h;
    .between_bytes_timeout = 1h;
}

backend host_9010 {
    .host = "127.0.0.1";
    .port = "9010";
    .probe = ready;
    .connect_timeout = 2s;
    .first_byte_timeout = 1h;
    .between_bytes_timeout = 1h;
}

sub vcl_init {
    new hosts = directors.round_robin();
    hosts.add_backend(host_9009);
    hosts.add_backend(host_9010);
}

sub vcl_recv {
    set req.backend_hint = hosts.backend();
    unset req.http.X-Method;
    if (req.url ~ "^/metrics(\?|$)") {
        return (synth(404));
    }
    if (req.http.Accept ~ "text/event-stream") {
        return (pipe);
    }
    if (req.method == "GET" || req.method == "HEAD") {
        return (hash);
    }
    # A POST whose URL lacks the hash of its body cannot be told from another.
    if (req.method != "POST"
        || req.url !~ "^/function/[^?]+\?(.*&)?hash=[0-9a-fA-F]{40}(&|$)") {
        return (pass);
    }
    if (!std.cache_req_body(16MB)) {
        return (synth(413));
    }
    set req.http.X-Method = req.method;
    return (hash);
}

sub vcl_pipe {
    set bereq.http.Connection = "close";
}

sub vcl_hash {
    hash_data(req.method);
    hash_data(req.http.Authorization);
}

sub vcl_backend_fetch {
    if (bereq.http.X-Method) {
        set bereq.method = bereq.http.X-Method;
        unset bereq.http.X-Method;
    }
    set bereq.http.Connection = "close";
}

sub vcl_backend_response {
    set beresp.grace = 0s;
    if (beresp.status != 200 || !beresp.http.Cache-Control) {
        set beresp.uncacheable = true;
    }
}
