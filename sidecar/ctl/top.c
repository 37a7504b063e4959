/* top.c: lullctl top: a live screen.
 *
 * One thread: libcurl's multi interface waits for the event stream and for keys at the same time, and
 * once a second the figures and flights are asked for and the screen is drawn again. The terminal is
 * driven with plain ANSI sequences, since the image has no terminfo: alternate screen, cursor home,
 * clear to the end of each line. It is put back at every way out, signals included, and while the
 * process is suspended.
 *
 * A terminal that is dumb gets a line a second; a pipe or a file gets one frame.
 */
#include "ctl/top.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 256 * 1024, SECOND_MS = 1000, PIPE_ROWS = 60, PIPE_COLUMNS = 132 };

static volatile sig_atomic_t stop_asked, suspend_asked;

static void on_signal(int number)
{
    *(number == SIGTSTP ? &suspend_asked : &stop_asked) = 1;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct sigaction action = {.sa_handler = on_signal};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
    }
}

static struct termios saved_terminal;

static void terminal_begin(void)
{
    struct termios raw;
    tcgetattr(STDIN_FILENO, &saved_terminal);
    raw = saved_terminal;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout);
}

static void terminal_end(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
}

/* The shell gets the terminal as it was, until it continues this process. */
static void suspend(void)
{
    terminal_end();
    signal(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
    catch_signals();
    suspend_asked = 0;
    terminal_begin();
}

static void read_size(struct top *top)
{
    struct winsize size = {0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    top->rows = known ? size.ws_row : 24;
    top->columns = known ? size.ws_col : 80;
}

/* The frame over the one before: no clearing, so that nothing flickers. false: the terminal is gone. */
static bool show_screen(struct top *top)
{
    struct buf frame = {.max = FRAME_MAX};
    read_size(top);
    top_draw(top, &frame);
    fputs("\033[H", stdout);
    for (size_t i = 0; i < frame.len; i++) {
        if (frame.data[i] == '\n') {
            fputs("\033[K\n", stdout);
        } else {
            putchar(frame.data[i]);
        }
    }
    fputs("\033[K\033[J", stdout);
    buf_free(&frame);
    return ctl_flush();
}

static bool show_line(const struct top *top)
{
    struct buf line = {.max = 1024};
    top_draw_line(top, &line);
    fwrite(line.data, 1, line.len, stdout);
    buf_free(&line);
    return ctl_flush();
}

/* false: quit. */
static bool read_keys(struct top *top)
{
    char keys[32];
    ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
    for (ssize_t i = 0; i < n; i++) {
        switch (keys[i]) {
        case 'q':
            return false;
        case 'p':
            top->paused = !top->paused;
            break;
        case 's':
            top->sort = (enum top_sort)((top->sort + 1) % TOP_SORTS);
            break;
        case '?':
        case 'h':
            top->help = !top->help;
            break;
        default:
            break;
        }
    }
    return true;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until `until`, or a key, or a signal; the event stream is read meanwhile. */
static void wait_until(CURLM *multi, int64_t until, bool keys)
{
    struct curl_waitfd input = {.fd = STDIN_FILENO, .events = CURL_WAIT_POLLIN};
    int running = 0;
    for (int64_t left = 1; left > 0 && !stop_asked && !suspend_asked && input.revents == 0;) {
        curl_multi_perform(multi, &running);
        left = until - now_ms();
        if (left > 0) {
            curl_multi_poll(multi, keys ? &input : NULL, keys ? 1 : 0, (int)left, NULL);
        }
    }
    curl_multi_perform(multi, &running);
}

/* A signal may end the waiting early; a frame is drawn for every key. */
static int run(struct top *top, CURLM *multi, bool screen)
{
    int64_t next = now_ms();
    for (;;) {
        if (now_ms() >= next) {
            if (!top_sample(top)) {
                return stop_asked ? CTL_DONE : CTL_NO_DAEMON;
            }
            next = now_ms() + SECOND_MS;
            if (!screen && !show_line(top)) {
                return CTL_DONE;
            }
        }
        if (screen && !show_screen(top)) {
            return CTL_DONE;
        }
        wait_until(multi, next, screen);
        if (suspend_asked) {
            suspend();
        }
        if (stop_asked || (screen && !read_keys(top))) {
            return CTL_DONE;
        }
    }
}

static int show_once(struct top *top)
{
    struct buf frame = {.max = FRAME_MAX};
    if (!top_sample(top)) {
        return CTL_NO_DAEMON;
    }
    top->rows = PIPE_ROWS;
    top->columns = PIPE_COLUMNS;
    top_draw(top, &frame);
    printf("%.*s\n", (int)frame.len, frame.data);
    buf_free(&frame);
    return CTL_DONE;
}

static int run_live(struct top *top)
{
    const char *term = getenv("TERM");
    bool screen =
        term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0 && isatty(STDIN_FILENO);
    struct ctl_stream *events = ctl_stream_open(top->ctl, "/events", top_take_line, top);
    CURLM *multi = curl_multi_init();
    require(multi != NULL);
    curl_multi_add_handle(multi, ctl_stream_handle(events));
    if (!top_sample(top)) { /* before the terminal is changed: the message stays readable */
        curl_multi_remove_handle(multi, ctl_stream_handle(events));
        curl_multi_cleanup(multi);
        ctl_stream_close(events);
        return CTL_NO_DAEMON;
    }
    if (screen) {
        catch_signals();
        terminal_begin();
        top->on_screen = true;
    }
    int result = run(top, multi, screen);
    if (screen) {
        terminal_end();
    }
    if (screen && result == CTL_NO_DAEMON) { /* on the screen it would have been lost */
        fprintf(stderr, "lullctl: lulld on %s has ended\n", top->ctl->socket);
    }
    curl_multi_remove_handle(multi, ctl_stream_handle(events));
    curl_multi_cleanup(multi);
    ctl_stream_close(events);
    return result;
}

int ctl_top(const struct ctl *ctl)
{
    struct top *top = mem_new(sizeof *top);
    struct ctl stoppable = *ctl;
    stoppable.stop = &stop_asked;
    top->ctl = &stoppable;
    top->colour = ctl_has_colour();
    int result = isatty(STDOUT_FILENO) ? run_live(top) : show_once(top);
    top_free(top);
    free(top);
    return result;
}
