<?php
// Imports two contacts, sends a template to one of them, waits until it was sent. PHP 8, no packages.
$url = getenv('KABAR_URL') ?: 'http://127.0.0.1:8080';

function call(string $method, string $path, array|string|null $body = null, string $kind = 'application/json', ?string $key = null): array
{
    global $url;
    $headers = ['Authorization: Bearer ' . getenv('KABAR_KEY')];
    if ($body !== null) {
        $headers[] = 'Content-Type: ' . $kind;
    }
    if ($key !== null) {
        $headers[] = 'Idempotency-Key: ' . $key;
    }
    $options = ['method' => $method, 'header' => $headers, 'ignore_errors' => true];
    if ($body !== null) {
        $options['content'] = is_array($body) ? json_encode($body) : $body;
    }
    $answer = json_decode(file_get_contents($url . $path, false, stream_context_create(['http' => $options])), true);
    if (isset($answer['remedy'])) {
        fwrite(STDERR, "{$answer['code']}: {$answer['detail']} {$answer['remedy']}\n");
        exit(1);
    }
    return $answer;
}

$people = "name,phone\nAna,+6281234567890\nBudi,+6281234567891\n";
call('POST', '/v1/contacts/import?name=sample', $people, 'text/csv', bin2hex(random_bytes(16)));
$message = call('POST', '/v1/messages', [
    'session' => getenv('KABAR_SESSION'),
    'to' => '6281234567890',
    'type' => 'template',
    'template' => ['name' => 'halo', 'language' => ['code' => 'id']],
], key: bin2hex(random_bytes(16)));
for ($tries = 0; $tries < 100; $tries++) {
    $seen = call('GET', $message['status_url']);
    if (in_array($seen['status'], ['sent', 'delivered', 'read'], true)) {
        break;
    }
    if (in_array($seen['status'], ['failed', 'expired', 'unknown'], true)) {
        fwrite(STDERR, "ended as {$seen['status']}\n");
        exit(1);
    }
    usleep(100_000);
}
call('GET', '/v1/imports?limit=5');
echo "sent {$message['id']}\n";
