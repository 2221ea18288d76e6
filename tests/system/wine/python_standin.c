/* Stands in for py.exe and python.exe under Wine: writes its arguments down, ends as it is told.
 *
 * STANDIN_LOG names the file: the program's own name and each argument on a line, then an empty
 * one; in UTF-8. A run whose command line has the words of STANDIN_FAILS in it ends with
 * STANDIN_CODE, all others with 0. A script can't do this: Wine doesn't wait for one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

static void write_line(FILE *log, const wchar_t *text) {
    char line[8192];
    int size = WideCharToMultiByte(CP_UTF8, 0, text, -1, line, sizeof line, NULL, NULL);
    if (size > 0) fprintf(log, "%s\n", line);
}

int wmain(int count, wchar_t **arguments) {
    const wchar_t *file = _wgetenv(L"STANDIN_LOG");
    const wchar_t *fails = _wgetenv(L"STANDIN_FAILS");
    const wchar_t *code = _wgetenv(L"STANDIN_CODE");
    FILE *log = file ? _wfopen(file, L"ab") : NULL;
    if (!log) return 99;
    for (int i = 0; i < count; i++) write_line(log, arguments[i]);
    fprintf(log, "\n");
    fclose(log);
    return fails && code && wcsstr(GetCommandLineW(), fails) ? (int)wcstol(code, NULL, 10) : 0;
}
