/* C11's <threads.h> on top of POSIX threads. ThreadSanitizer follows only the latter, and Debian's librdkafka
 * uses the former: with these in the program, its threads, locks and wake-ups order memory for the sanitizer
 * as well. Not for: any build without -fsanitize=thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "mtx_t cannot hold a pthread_mutex_t");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "cnd_t cannot hold a pthread_cond_t");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "thrd_t is not a pthread_t");

static int ToC11(int error) {
    switch (error) {
        case 0:
            return thrd_success;
        case EBUSY:
            return thrd_busy;
        case ETIMEDOUT:
            return thrd_timedout;
        case ENOMEM:
            return thrd_nomem;
        default:
            return thrd_error;
    }
}

struct Start {
    thrd_start_t function;
    void* argument;
};

static void* Run(void* opaque) {
    const struct Start start = *(struct Start*)opaque;
    free(opaque);
    return (void*)(intptr_t)start.function(start.argument);
}

int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
    struct Start* start = malloc(sizeof(*start));
    if (start == NULL) {
        return thrd_nomem;
    }
    start->function = function;
    start->argument = argument;
    const int error = pthread_create((pthread_t*)thread, NULL, Run, start);
    if (error != 0) {
        free(start);
    }
    return error == EAGAIN ? thrd_nomem : ToC11(error);
}

int thrd_join(thrd_t thread, int* result) {
    void* value = NULL;
    const int error = pthread_join((pthread_t)thread, &value);
    if (error == 0 && result != NULL) {
        *result = (int)(intptr_t)value;
    }
    return ToC11(error);
}

int mtx_init(mtx_t* mutex, int type) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if ((type & mtx_recursive) != 0) {
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    }
    const int error = pthread_mutex_init((pthread_mutex_t*)mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return ToC11(error);
}

int mtx_lock(mtx_t* mutex) {
    return ToC11(pthread_mutex_lock((pthread_mutex_t*)mutex));
}

int mtx_trylock(mtx_t* mutex) {
    return ToC11(pthread_mutex_trylock((pthread_mutex_t*)mutex));
}

int mtx_unlock(mtx_t* mutex) {
    return ToC11(pthread_mutex_unlock((pthread_mutex_t*)mutex));
}

void mtx_destroy(mtx_t* mutex) {
    pthread_mutex_destroy((pthread_mutex_t*)mutex);
}

int cnd_init(cnd_t* condition) {
    return ToC11(pthread_cond_init((pthread_cond_t*)condition, NULL));
}

int cnd_signal(cnd_t* condition) {
    return ToC11(pthread_cond_signal((pthread_cond_t*)condition));
}

int cnd_broadcast(cnd_t* condition) {
    return ToC11(pthread_cond_broadcast((pthread_cond_t*)condition));
}

int cnd_wait(cnd_t* condition, mtx_t* mutex) {
    return ToC11(pthread_cond_wait((pthread_cond_t*)condition, (pthread_mutex_t*)mutex));
}

int cnd_timedwait(cnd_t* restrict condition, mtx_t* restrict mutex,
                  const struct timespec* restrict deadline) {
    return ToC11(pthread_cond_timedwait((pthread_cond_t*)condition, (pthread_mutex_t*)mutex, deadline));
}

void cnd_destroy(cnd_t* condition) {
    pthread_cond_destroy((pthread_cond_t*)condition);
}

void call_once(once_flag* flag, void (*function)(void)) {
    pthread_once((pthread_once_t*)flag, function);
}
